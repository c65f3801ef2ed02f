package workflows

import (
	"encoding/base64"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"go.temporal.io/api/history/v1"

	"meridian/persistence/temporal/temporaltest"
)

var update = flag.Bool("update", false, "record the replay fixtures of "+unreleased+" anew")

// fixtures holds the histories of every version, as VERSION/STORY/EXECUTION.json.
const fixtures = "testdata/replay"

// unreleased is the version that -update records. When it is released its directory stays as it is for ever, because such executions may
// be in the middle of their work on somebody's machine: raise this name with the release.
const unreleased = "v1"

// TestReplay wants the workflows to go through every recorded history as they did when it was recorded.
func TestReplay(t *testing.T) {
	if *update {
		t.Skip("TestReplayOfRecordings writes the fixtures")
	}
	for _, file := range histories(t, "*") {
		t.Run(strings.TrimPrefix(file, fixtures+"/"), func(t *testing.T) {
			if err := replayer(t).ReplayWorkflowHistory(quiet(), read(t, file)); err != nil {
				t.Errorf("the workflow does not go the way it went: guard the change with workflow.GetVersion: %v", err)
			}
		})
	}
}

// TestReplayOfRecordings plays every story on a real Temporal with canned activities and replays what came of it; with -update the
// histories become the fixtures, without it they must ask for what the fixtures ask for.
func TestReplayOfRecordings(t *testing.T) {
	c := connect(t, temporaltest.Start(t))
	for name, r := range recordings() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &world{runs: r.runs, answers: r.answers, drift: r.drift}
			l := open(t, c, name, w)
			if r.play != nil {
				r.play(l)
			} else {
				l.wake()
				l.finish()
			}
			recorded := l.histories()
			for i, want := range r.ends {
				if got := w.phaseOf(w.runs[i].run); got != want {
					t.Errorf("run %s is %s, want %s: %q", w.runs[i].run, got, want, w.log())
				}
			}
			for kind, h := range recorded {
				if err := replayer(t).ReplayWorkflowHistory(quiet(), h); err != nil {
					t.Errorf("%s cannot be replayed: %v", kind, err)
				}
			}
			dir := filepath.Join(fixtures, unreleased, name)
			if *update && !t.Failed() {
				write(t, dir, recorded)
			}
			compare(t, dir, recorded)
		})
	}
}

// TestReplayFixturesAreOfStories wants no fixture of the unreleased version left over from a story that is told no more.
func TestReplayFixturesAreOfStories(t *testing.T) {
	stories := recordings()
	for _, dir := range glob(t, fixtures, unreleased, "*") {
		if _, told := stories[filepath.Base(dir)]; !told {
			t.Errorf("%s is of no story", dir)
		}
	}
}

// compare wants the fixtures of a story to ask for the same things as what was recorded just now, so that no change stays unrecorded.
func compare(t *testing.T, dir string, recorded map[string]*history.History) {
	t.Helper()
	was := map[string][]string{}
	for _, file := range glob(t, dir, "*.json") {
		was[strings.TrimSuffix(filepath.Base(file), ".json")] = questions(t, read(t, file))
	}
	is := map[string][]string{}
	for kind, h := range recorded {
		is[kind] = questions(t, h)
	}
	if !reflect.DeepEqual(was, is) {
		t.Errorf("%s asked for\n%q\nnow the story asks for\n%q\nrun go test ./orchestrator/workflows -run Replay -update", dir, was, is)
	}
}

// TestReplayFixturesAreClean wants histories that tell nothing of the machine that recorded them.
func TestReplayFixturesAreClean(t *testing.T) {
	unclean := map[string]*regexp.Regexp{
		"a path":           regexp.MustCompile(`(^|[" =(:])/?/(root|home|tmp|work|usr|var|opt|srv|mnt|go|proc|etc)/`),
		"a host":           regexp.MustCompile(`@|127\.0\.|localhost`),
		"a random ID":      regexp.MustCompile(`[0-9a-f]{8}-[1-9a-f][0-9a-f]{3}-|[1-9a-f][0-9a-f]{7}-[0-9a-f]{4}-`),
		"another identity": regexp.MustCompile(`"identity": "([^m]|m[^e])`),
		"a stack trace":    regexp.MustCompile(`"stackTrace": "[^"]`),
		"a day of its own": regexp.MustCompile(`20(2[0-57-9]|[013-9]\d)-\d{2}-\d{2}`),
	}
	if *update { // elsewhere a host may well be called orders
		host, err := os.Hostname()
		if err != nil {
			t.Fatal(err)
		}
		unclean["this host"] = regexp.MustCompile(`\b` + regexp.QuoteMeta(host) + `\b`)
	}
	payload := regexp.MustCompile(`"data": "([^"]*)"`)
	for _, file := range histories(t, unreleased) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = payload.ReplaceAllFunc(text, func(data []byte) []byte {
			clear, err := base64.StdEncoding.DecodeString(string(payload.FindSubmatch(data)[1]))
			if err != nil {
				t.Errorf("%s holds a payload that cannot be read: %s", file, data)
			}
			return clear
		})
		for what, r := range unclean {
			if at := r.FindIndex(text); at != nil {
				t.Errorf("%s holds %s: ...%s...", file, what, text[max(0, at[0]-40):min(len(text), at[1]+40)])
			}
		}
	}
}
