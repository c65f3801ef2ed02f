package main

import (
	"os"
	"path/filepath"
	"strings"
)

// call is a command line of this program that a person can paste: it reaches the server that this one talks to.
func (a *app) call(verb string) string {
	line := selfName()
	if a.data != "" {
		line += " --data " + quote(a.data)
	}
	if a.server != "" {
		line += " --server " + quote(a.server)
	}
	return line + " " + verb
}

// selfName is how a person calls this program.
func selfName() string {
	if strings.ContainsRune(os.Args[0], filepath.Separator) {
		return quote(os.Args[0])
	}
	return "meridian"
}

// quote makes a path safe to paste into a shell.
func quote(s string) string {
	if strings.IndexFunc(s, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-+:@%", r)
	}) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
