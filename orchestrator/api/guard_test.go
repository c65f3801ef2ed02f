package api_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"meridian/orchestrator/api"
	"meridian/orchestrator/api/apitest"
)

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestGuard(t *testing.T) {
	h := start(t, func(o *api.Options) {
		o.Hosts = []string{"meridian.example.org"}
		o.Web = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "web "+r.URL.Path) })
	})
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	tests := map[string]struct {
		path string
		edit func(*http.Request)
		want int
	}{
		"with the token":            {"/api/v1/databases", nil, 200},
		"scheme in lower case":      {"/api/v1/databases", header("Authorization", "bearer "+token), 200},
		"without a token":           {"/api/v1/databases", func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		"empty token":               {"/api/v1/databases", header("Authorization", "Bearer "), 401},
		"wrong token":               {"/api/v1/databases", header("Authorization", "Bearer "+strings.ToUpper(token)), 401},
		"a beginning of the token":  {"/api/v1/databases", header("Authorization", "Bearer "+token[:20]), 401},
		"another scheme":            {"/api/v1/databases", header("Authorization", "Basic "+token), 401},
		"token in the query":        {"/api/v1/databases?token=" + token, func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		"unknown path, no token":    {"/api/nothing", func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		"health without a token":    {"/api/v1/healthz", func(r *http.Request) { r.Header.Del("Authorization") }, 200},
		"localhost":                 {"/api/v1/databases", host("localhost:7480"), 200},
		"IPv6 loopback":             {"/api/v1/databases", host("[::1]:7480"), 200},
		"another loopback address":  {"/api/v1/databases", host("127.0.0.9"), 200},
		"configured name":           {"/api/v1/databases", host("Meridian.example.org:443"), 200},
		"rebound name":              {"/api/v1/databases", host("evil.example.com:7480"), 421},
		"rebound name, health":      {"/api/v1/healthz", host("evil.example.com"), 421},
		"rebound name, web":         {"/temporal/", host("evil.example.com"), 421},
		"name that begins right":    {"/api/v1/databases", host("127.0.0.1.example.com"), 421},
		"no name":                   {"/api/v1/databases", host("[]"), 421},
		"own origin":                {"/api/v1/databases", func(r *http.Request) { r.Header.Set("Origin", "http://"+r.URL.Host) }, 200},
		"foreign origin":            {"/api/v1/databases", header("Origin", "http://evil.example.com"), 403},
		"null origin":               {"/api/v1/databases", header("Origin", "null"), 403},
		"origin of another port":    {"/api/v1/databases", header("Origin", "http://127.0.0.1:1"), 403},
		"cross-site by the browser": {"/api/v1/databases", header("Sec-Fetch-Site", "cross-site"), 403},
		"same-site by the browser":  {"/api/v1/databases", header("Sec-Fetch-Site", "same-site"), 403},
		"same-origin":               {"/api/v1/databases", header("Sec-Fetch-Site", "same-origin"), 200},
		"web without a token":       {"/temporal/x", func(r *http.Request) { r.Header.Del("Authorization") }, 200},
		"a path that looks like it": {"/apix", nil, 200},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if resp := h.raw(t, "GET", tc.path, "", tc.edit); resp.StatusCode != tc.want {
				text, _ := io.ReadAll(resp.Body)
				t.Errorf("%d, want %d: %s", resp.StatusCode, tc.want, text)
			}
		})
	}
}

func TestEmptyTokenLetsNobodyIn(t *testing.T) {
	h := start(t, func(o *api.Options) { o.Token = "" })
	for _, value := range []string{"", "Bearer", "Bearer "} {
		resp := h.raw(t, "GET", "/api/v1/version", "", func(r *http.Request) { r.Header.Set("Authorization", value) })
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%q: %d", value, resp.StatusCode)
		}
	}
}

func TestBodyLimit(t *testing.T) {
	h := start(t, nil)
	body := `{"documents":[{"file":"a","text":"` + strings.Repeat("x", 8<<20) + `"}]}`
	resp := h.raw(t, "POST", "/api/v1/submissions", body, nil)
	if resp.StatusCode != http.StatusRequestEntityTooLarge || resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %s", resp.StatusCode, resp.Header)
	}
}

func TestPanicIsAnAnswer(t *testing.T) {
	h := start(t, func(o *api.Options) {
		o.Web = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") })
	})
	if resp := h.raw(t, "GET", "/temporal/", "", nil); resp.StatusCode != http.StatusInternalServerError {
		t.Errorf("%d", resp.StatusCode)
	}
	if !strings.Contains(h.logs.String(), "boom") {
		t.Errorf("not in the log: %s", h.logs)
	}
}

func TestLoginStaysHere(t *testing.T) {
	h := start(t, func(o *api.Options) { o.LoginURL = func(next string) string { return next } })
	for next, ok := range map[string]bool{
		"": true, "/": true, "/temporal/a?b=c": true, "//evil.example.com": false, "/\\evil.example.com": false, "http://evil.example.com": false,
		"/a\nb": false, "temporal": false, "/a\\b": false,
	} {
		_, err := h.client.Login(t.Context(), next)
		if (err == nil) != ok {
			t.Errorf("next %q: %v", next, err)
		}
	}
}

// FuzzRequests sends anything to any route: never a 5xx but for the broken database, always JSON.
func FuzzRequests(f *testing.F) {
	f.Add("POST", "/submissions", `{"documents":[{"file":"a","text":"kind: Database"}]}`)
	f.Add("POST", "/runs/r-0001/approve", `{"plan":"00"}`)
	f.Add("GET", "/runs?limit=-1&namespace=%00", "")
	f.Add("POST", "/databases/default/orders/connect", `{"region":"\u0000"}`)
	f.Add("POST", "/login", `{"next":"//x"}`)
	f.Add("PATCH", "/validate", "\xff")
	f.Add("POST", "/render", `{"documents":[{"file":"","text":"\ud800"}],"yes":"no"}`)
	handler := api.New(api.Options{Service: apitest.New(), Token: token, LoginURL: func(next string) string { return next }})
	f.Fuzz(func(t *testing.T, method, path, body string) {
		if strings.HasSuffix(path, "/watch") || strings.Contains(path, apitest.Broken) {
			return
		}
		req, err := http.NewRequest(method, "http://127.0.0.1"+api.Prefix+path, strings.NewReader(body))
		if err != nil {
			return
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, req)
		if w.Code >= 500 && !strings.Contains(body, apitest.Broken) {
			t.Errorf("%s %q %q: %d %s", method, path, body, w.Code, w.Body)
		}
		if kind := w.Header().Get("Content-Type"); w.Code != 204 && !strings.HasSuffix(kind, "json") {
			t.Errorf("%s %q: %d with content type %q", method, path, w.Code, kind)
		}
	})
}

var _ api.Service = (*apitest.Fake)(nil)
