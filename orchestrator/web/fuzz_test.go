package web

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzPages sends anything to the pages outside of the API: nobody without a login is shown anything, and nothing breaks.
func FuzzPages(f *testing.F) {
	f.Add("GET", "/login?key=x&next=%2F", "", "")
	f.Add("GET", "/temporal/namespaces/default/workflows", "meridian_session=x", "")
	f.Add("POST", "/temporal/api/v1/x", "", "http://evil.example.com")
	f.Add("GET", "//evil.example.com/%2e%2e/", "a=b; meridian=", "null")
	f.Add("TRACE", "/%00", "\xff", "")
	handler := New(Options{
		UIAddress: "127.0.0.1:1", UIKey: uiKey, Authorized: func(*http.Request) bool { return false },
		BaseURL: func() string { return "http://127.0.0.1:7480" }, Logger: slog.New(slog.DiscardHandler),
	})
	f.Fuzz(func(t *testing.T, method, path, cookie, origin string) {
		req, err := http.NewRequest(method, "http://127.0.0.1:7480"+path, strings.NewReader(""))
		if err != nil {
			return
		}
		req.Header.Set("Cookie", cookie)
		req.Header.Set("Origin", origin)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, req)
		if w.Code >= 500 {
			t.Errorf("%s %q: %d, as if it had been let through", method, path, w.Code)
		}
		if to := w.Header().Get("Location"); strings.HasPrefix(to, "//") || strings.HasPrefix(to, "http") && !strings.HasPrefix(to, "http://127.0.0.1:7480/") {
			t.Errorf("%s %q leads to %q", method, path, to)
		}
		if strings.Contains(w.Body.String(), uiKey) {
			t.Errorf("%s %q tells the key", method, path)
		}
	})
}
