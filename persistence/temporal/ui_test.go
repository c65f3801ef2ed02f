package temporal

import (
	"net/http"
	"os"
	"strings"
	"testing"
)

func TestWebUI(t *testing.T) {
	s, err := Start(t.Context(), Options{UI: true, Logger: logTo(os.Stderr)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	t.Run("a workflow to look at", func(t *testing.T) {
		c := clientOf(t, s)
		startGreeter(t, c)
		runGreet(t, c, "run/1", nil)
	})
	for name, test := range map[string]struct {
		path, key string
		status    int
		body      string
	}{
		"page":                {"/temporal/", s.Key(), 200, `base: "/temporal"`},
		"page below":          {"/temporal/namespaces/meridian/workflows/run%2F1", s.Key(), 200, `base: "/temporal"`},
		"file":                {"/temporal/favicon.ico", s.Key(), 200, ""},
		"no such file":        {"/temporal/_app/immutable/none.js", s.Key(), 404, ""},
		"settings":            {"/temporal/api/v1/settings", s.Key(), 200, `"DefaultNamespace":"meridian"`},
		"namespaces":          {"/temporal/api/v1/namespaces", s.Key(), 200, `"meridian"`},
		"workflow of a slash": {"/temporal/api/v1/namespaces/meridian/workflows/run%2F1", s.Key(), 200, `"workflowId":"run/1"`},
		"history":             {"/temporal/api/v1/namespaces/meridian/workflows/run%2F1/history", s.Key(), 200, "EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED"},
		"summaries":           {"/temporal/render?content=hello", s.Key(), 200, "hello"},
		"page, no key":        {"/temporal/", "", 401, "meridian open"},
		"calls, no key":       {"/temporal/api/v1/namespaces", "", 401, "meridian open"},
		"calls, another key":  {"/temporal/api/v1/namespaces", string(newKey()), 401, "meridian open"},
		"settings, no key":    {"/temporal/api/v1/settings", "", 401, "meridian open"},
	} {
		t.Run(name, func(t *testing.T) {
			answer, body := get(t, "http://"+s.UIAddress()+test.path, test.key)
			if answer.StatusCode != test.status || !strings.Contains(strings.ReplaceAll(body, `": "`, `":"`), strings.ReplaceAll(test.body, `": "`, `":"`)) {
				t.Errorf("%s: %d %.300s", test.path, answer.StatusCode, body)
			}
		})
	}
	t.Run("the page's script may run, others not", func(t *testing.T) {
		answer, _ := get(t, "http://"+s.UIAddress()+"/temporal/", s.Key())
		if policy := answer.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "script-src 'strict-dynamic' 'sha256-") {
			t.Errorf("policy is %q", policy)
		}
	})
	s.Stop()
	if answer, err := http.Get("http://" + s.UIAddress() + "/temporal/"); err == nil {
		answer.Body.Close()
		t.Error("the ui answers after the stop")
	}
}
