package web

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

const (
	apiToken = "the-api-token"
	uiKey    = "the-ui-key"
)

// fakeUI answers with what it was asked.
func fakeUI(t *testing.T) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "_csrf=x")
		fmt.Fprintf(w, "%s %s\nauthorization=%s\ncookie=%s\n", r.Method, r.URL.EscapedPath(), r.Header.Get("Authorization"), r.Header.Get("Cookie"))
	}))
	t.Cleanup(s.Close)
	return s
}

// site is a handler on a loopback port.
type site struct {
	*Handler
	url string
}

func newSite(t *testing.T, uiAddress string) *site {
	s := &site{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	s.url = server.URL
	s.Handler = New(Options{
		UIAddress: uiAddress, UIKey: uiKey,
		Authorized: func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer "+apiToken },
		BaseURL:    func() string { return server.URL },
		Logger:     slog.New(slog.DiscardHandler),
	})
	return s
}

// browser keeps cookies and follows no redirects.
func browser(t *testing.T) *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// ask sends a request with headers (name, value, ...) and returns the answer and its body.
func ask(t *testing.T, c *http.Client, method, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

func login(t *testing.T, s *site) *http.Client {
	t.Helper()
	c := browser(t)
	if answer, body := ask(t, c, "GET", s.IssueLogin("")); answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("login: %d %s", answer.StatusCode, body)
	}
	return c
}

func TestLogin(t *testing.T) {
	s := newSite(t, fakeUI(t).Listener.Addr().String())
	address := s.IssueLogin("/temporal/namespaces/meridian")
	c := browser(t)
	if answer, _ := ask(t, c, "HEAD", address); answer.StatusCode == http.StatusSeeOther {
		t.Error("a HEAD request logged in")
	}
	answer, _ := ask(t, c, "GET", address)
	if answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != "/temporal/namespaces/meridian" {
		t.Fatalf("answer %d to %q", answer.StatusCode, answer.Header.Get("Location"))
	}
	if got := answer.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control is %q", got)
	}
	cookies := answer.Cookies()
	if len(cookies) != 1 {
		t.Fatalf("%d cookies", len(cookies))
	}
	cookie := cookies[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" || cookie.MaxAge != 12*3600 {
		t.Errorf("cookie is %v", cookie)
	}
	if strings.Contains(address, cookie.Value) {
		t.Error("the login token is the session")
	}
	other := browser(t)
	if answer, body := ask(t, other, "GET", address); answer.StatusCode != http.StatusUnauthorized || len(answer.Cookies()) != 0 {
		t.Errorf("a second use: %d %s", answer.StatusCode, body)
	}
	if answer, body := ask(t, c, "GET", s.url+"/temporal/"); answer.StatusCode != http.StatusOK {
		t.Errorf("with the session: %d %s", answer.StatusCode, body)
	}
	if answer, _ := ask(t, c, "GET", s.url+"/"); answer.Header.Get("Location") != "/temporal/" {
		t.Errorf("/ leads to %q", answer.Header.Get("Location"))
	}
}

func TestTicketsRunOut(t *testing.T) {
	s := newSite(t, fakeUI(t).Listener.Addr().String())
	now := time.Now()
	s.logins.now, s.sessions.now = func() time.Time { return now }, func() time.Time { return now }
	late := s.IssueLogin("")
	c := login(t, s)
	now = now.Add(loginLife)
	if answer, _ := ask(t, browser(t), "GET", late); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("a login after a minute: %d", answer.StatusCode)
	}
	if answer, _ := ask(t, c, "GET", s.url+"/temporal/"); answer.StatusCode != http.StatusOK {
		t.Errorf("a session of a minute: %d", answer.StatusCode)
	}
	now = now.Add(sessionLife)
	if answer, _ := ask(t, c, "GET", s.url+"/temporal/"); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("a session of twelve hours: %d", answer.StatusCode)
	}
	s.IssueLogin("")
	login(t, s)
	if n := len(s.logins.all) + len(s.sessions.all); n != 2 {
		t.Errorf("%d tickets are kept, want one login and one session", n)
	}
}

func TestNextIsLocal(t *testing.T) {
	for next, want := range map[string]string{
		"":                              "/temporal/",
		"/temporal/namespaces/a?b=c#d":  "/temporal/namespaces/a?b=c#d",
		"/":                             "/",
		"temporal":                      "/temporal/",
		"//evil.example/":               "/temporal/",
		`/\evil.example/`:               "/temporal/",
		"/\t/evil.example":              "/temporal/",
		"https://evil.example/":         "/temporal/",
		"javascript:alert(1)":           "/temporal/",
		"https:evil.example":            "/temporal/",
		"/temporal/workflows/run%2F1/x": "/temporal/workflows/run%2F1/x",
	} {
		if got := localPath(next); got != want {
			t.Errorf("localPath(%q) is %q, want %q", next, got, want)
		}
	}
}

func TestWhoMayPass(t *testing.T) {
	s := newSite(t, fakeUI(t).Listener.Addr().String())
	host := strings.TrimPrefix(s.url, "http://")
	inside, stranger := login(t, s), browser(t)
	for name, test := range map[string]struct {
		client  *http.Client
		method  string
		headers []string
		want    int
	}{
		"stranger":                               {stranger, "GET", nil, 401},
		"stranger posts":                         {stranger, "POST", nil, 401},
		"stranger with a made-up session":        {stranger, "GET", []string{"Cookie", "meridian_session_" + host[strings.Index(host, ":")+1:] + "=x"}, 401},
		"stranger with another token":            {stranger, "GET", []string{"Authorization", "Bearer x"}, 401},
		"stranger with the ui's key":             {stranger, "GET", []string{"Authorization", "Bearer " + uiKey}, 401},
		"token of the API":                       {stranger, "GET", []string{"Authorization", "Bearer " + apiToken}, 200},
		"token of the API posts":                 {stranger, "POST", []string{"Authorization", "Bearer " + apiToken, "Sec-Fetch-Site", "cross-site"}, 200},
		"session":                                {inside, "GET", nil, 200},
		"session posts from our page":            {inside, "POST", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		"session posts from our page, older":     {inside, "POST", []string{"Origin", s.url}, 200},
		"session posts from another site":        {inside, "POST", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		"session posts from another port":        {inside, "POST", []string{"Sec-Fetch-Site", "same-site"}, 403},
		"session posts from another site, older": {inside, "POST", []string{"Origin", "http://evil.example"}, 403},
		"session deletes from another site":      {inside, "DELETE", []string{"Sec-Fetch-Site", "cross-site"}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			answer, body := ask(t, test.client, test.method, s.url+"/temporal/api/v1/namespaces", test.headers...)
			if answer.StatusCode != test.want {
				t.Fatalf("answer %d, want %d: %s", answer.StatusCode, test.want, body)
			}
			if test.want == 401 && !strings.Contains(body, "meridian open") {
				t.Errorf("the page does not say what to do: %s", body)
			}
			if test.want != 200 && strings.Contains(body, "authorization=") {
				t.Error("the request went through")
			}
		})
	}
}

func TestProxy(t *testing.T) {
	s := newSite(t, fakeUI(t).Listener.Addr().String())
	c := login(t, s)
	for name, headers := range map[string][]string{
		"session":          nil,
		"token of the API": {"Authorization", "Bearer " + apiToken},
		"other cookies":    {"Cookie", "other=secret"},
	} {
		t.Run(name, func(t *testing.T) {
			answer, body := ask(t, c, "GET", s.url+"/temporal/api/v1/namespaces/meridian/workflows/run%2F1", headers...)
			want := "GET /temporal/api/v1/namespaces/meridian/workflows/run%2F1\nauthorization=Bearer " + uiKey + "\ncookie=\n"
			if body != want {
				t.Errorf("the ui was asked\n%swant\n%s", body, want)
			}
			if len(answer.Cookies()) != 0 {
				t.Errorf("cookies of the ui came through: %v", answer.Cookies())
			}
		})
	}
	t.Run("the ui is gone", func(t *testing.T) {
		gone := fakeUI(t)
		s := newSite(t, gone.Listener.Addr().String())
		gone.Close()
		answer, body := ask(t, login(t, s), "GET", s.url+"/temporal/")
		if answer.StatusCode != http.StatusBadGateway || !strings.Contains(body, "does not answer") {
			t.Errorf("answer %d %s", answer.StatusCode, body)
		}
	})
	t.Run("no ui", func(t *testing.T) {
		s := newSite(t, "")
		if answer, body := ask(t, login(t, s), "GET", s.url+"/temporal/"); answer.StatusCode != http.StatusNotFound {
			t.Errorf("answer %d %s", answer.StatusCode, body)
		}
	})
}

func TestTwoServersOnOneHost(t *testing.T) {
	// Browsers share cookies between ports: the session of one server neither lets into the other nor pushes its session out.
	ui := fakeUI(t).Listener.Addr().String()
	one, other := newSite(t, ui), newSite(t, ui)
	c := login(t, one)
	if answer, _ := ask(t, c, "GET", other.url+"/temporal/"); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("the session of one let into the other: %d", answer.StatusCode)
	}
	ask(t, c, "GET", other.IssueLogin(""))
	for _, s := range []*site{one, other} {
		if answer, _ := ask(t, c, "GET", s.url+"/temporal/"); answer.StatusCode != http.StatusOK {
			t.Errorf("logged in to both, %s answers %d", s.url, answer.StatusCode)
		}
	}
}

func TestWorkflowPath(t *testing.T) {
	for name, test := range map[string]struct{ namespace, workflow, run, want string }{
		"newest execution":   {"meridian", "run/01J", "", "/temporal/namespaces/meridian/workflows/run%2F01J"},
		"one execution":      {"meridian", "run/01J", "9f-1", "/temporal/namespaces/meridian/workflows/run%2F01J/9f-1/history"},
		"special characters": {"a b", "database/x/y?z#", "", "/temporal/namespaces/a%20b/workflows/database%2Fx%2Fy%3Fz%23"},
	} {
		t.Run(name, func(t *testing.T) {
			got := WorkflowPath(test.namespace, test.workflow, test.run)
			if got != test.want {
				t.Errorf("path is %s, want %s", got, test.want)
			}
			if _, err := url.Parse(got); err != nil || localPath(got) != got {
				t.Errorf("%s cannot be the next of a login: %v", got, err)
			}
		})
	}
}
