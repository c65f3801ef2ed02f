package server

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestAKilledQuestionIsAskedAgain (not beside other tests, whose children would hold the script open): a program that somebody kills, a machine short of memory for one, says nothing of what it was asked.
func TestAKilledQuestionIsAskedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		kills int
		want  bool
	}{"never": {0, true}, "once": {1, true}, "always": {askTries, false}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			script := fmt.Sprintf("#!/bin/sh\nif [ \"$(cat %[1]s/kills | wc -c)\" -lt %[2]d ]; then printf x >> %[1]s/kills; kill -9 $$; fi\nprintf 'work_mem\\tx\\n'\n", dir, c.kills)
			for path, text := range map[string]string{"postgres": script, "kills": ""} {
				if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			got, err := Binaries{Dir: dir}.Parameters(t.Context())
			if (err == nil) != c.want || c.want && !slices.Equal(got, []string{"work_mem"}) {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}
