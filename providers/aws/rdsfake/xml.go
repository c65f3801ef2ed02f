package rdsfake

import (
	"bytes"
	"encoding/xml"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// el is an element with children, which are XML already.
func el(name string, children ...string) string {
	return "<" + name + ">" + strings.Join(children, "") + "</" + name + ">"
}

// text is an element with a text; an empty text is no element.
func text(name, value string) string {
	if value == "" {
		return ""
	}
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(value)) // a buffer takes everything
	return el(name, b.String())
}

// result is the answer of the query protocol.
func result(c call, children ...string) string {
	return el(c.action+"Response", el(c.action+"Result", children...), el("ResponseMetadata", text("RequestId", "fake")))
}

// problem is an error of the query protocol, or of EC2, which has its own.
func problem(c call, code, message string) string {
	if c.service == "ec2" {
		return el("Response", el("Errors", el("Error", text("Code", code), text("Message", message))), text("RequestID", "fake"))
	}
	return el("ErrorResponse", el("Error", text("Type", "Sender"), text("Code", code), text("Message", message)), text("RequestId", "fake"))
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // a caller that is gone hears nothing
}

// tagList writes tags as RDS and EC2 do.
func tagList(list, item, key, value string, tags map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, el(item, text(key, k), text(value, tags[k])))
	}
	return el(list, out...)
}
