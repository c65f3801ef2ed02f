// Package workflows decides the order: which run of a database is next, which regions plan, apply and link, and when.
//
// It is deterministic and holds no truth: rows do. A workflow never sees a plan, a state, a secret or the text of an error; its inputs
// and results are IDs.
package workflows
