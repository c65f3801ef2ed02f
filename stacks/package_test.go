package stacks

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// TestUnpackFiles reads what a client packed, and refuses what nobody packs with PackFiles.
func TestUnpackFiles(t *testing.T) {
	list := []File{{Path: "main.tf", Content: []byte("# nothing")}, {Path: "scripts/run", Content: []byte("true"), Exec: true}}
	archive, err := PackFiles(list)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := UnpackFiles(archive); err != nil || !reflect.DeepEqual(got, list) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := PackFiles(nil); err == nil {
		t.Error("an empty directory was packed")
	}
	for name, test := range map[string]struct {
		files []File
		want  string
	}{
		"nothing":        {want: "no files"}, // terraform would look at the path on the server
		"leads out":      {files: []File{{Path: "../x"}}, want: "no path within"},
		"absolute":       {files: []File{{Path: "/etc/x"}}, want: "no path within"},
		"twice":          {files: []File{{Path: "x"}, {Path: "x"}}, want: "there twice"},
		"too many":       {files: make([]File, MaxPackageFiles+1), want: "at most"},
		"grows too much": {files: []File{{Path: "x", Content: make([]byte, 2*MaxPackageBytes)}}, want: "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			var text bytes.Buffer
			z := gzip.NewWriter(&text)
			if err := json.NewEncoder(z).Encode(test.files); err != nil {
				t.Fatal(err)
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := UnpackFiles(text.Bytes()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
		})
	}
	if _, err := UnpackFiles(archive[:len(archive)/2]); err == nil {
		t.Error("half an archive was taken")
	}
}
