// Package chaos kills whatever makes databases, at random moments, and looks at the world afterwards: the seeded suite behind
// `make chaos`.
//
// It drives the real binaries as a user would, over HTTP, and judges by processes, directories, slots and rows, and by the ledger that the
// plugin writes. It must never import a package of Meridian: what is wrong there may not be wrong here in the same way.
package chaos
