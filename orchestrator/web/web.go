// Package web serves what people look at in a browser: the one-time login that `meridian open` prints, and Temporal's Web UI behind it.
//
// It must never let a request through that shows neither a session nor the API's token, never pass a session on to what is behind
// it, and never send a browser to another host.
package web

import (
	"crypto/rand"
	"encoding/base64"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"
)

// UIPath is where Temporal's Web UI lives; the UI must be started with it as its public path.
const UIPath = "/temporal"

const (
	loginLife   = time.Minute
	sessionLife = 12 * time.Hour
	openPath    = "/open"
)

// Options say what is behind the handler.
type Options struct {
	// UIAddress is host:port of Temporal's Web UI, "" without one.
	UIAddress string
	// UIKey is what the UI asks for, as a bearer token.
	UIKey string
	// Authorized says whether a request shows the API's token; nil means that none does.
	Authorized func(*http.Request) bool
	// BaseURL is where people reach this handler, as in http://127.0.0.1:7480; a function, as the port may be known late.
	BaseURL func() string
	// Logger gets what goes wrong on the way to the UI, slog's default without one.
	Logger *slog.Logger
}

// Handler serves /, /open and /temporal/.
type Handler struct {
	options  Options
	mux      *http.ServeMux
	logins   *tickets
	sessions *tickets
	cross    *http.CrossOriginProtection
}

// New makes the handler. Mount it at the root, below more special routes.
func New(o Options) *Handler {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Authorized == nil {
		o.Authorized = func(*http.Request) bool { return false }
	}
	h := &Handler{
		options: o, mux: http.NewServeMux(), cross: http.NewCrossOriginProtection(),
		logins: newTickets(loginLife), sessions: newTickets(sessionLife),
	}
	h.mux.HandleFunc("GET "+openPath, h.open)
	h.mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, UIPath+"/", http.StatusSeeOther)
	})
	h.mux.HandleFunc("GET "+UIPath, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, UIPath+"/", http.StatusSeeOther)
	})
	h.mux.Handle(UIPath+"/", h.proxy())
	return h
}

// ServeHTTP lets logins through to everybody and everything else to who has a session or the API's token.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "no-referrer")
	if r.URL.Path != openPath && !h.options.Authorized(r) {
		if !h.hasSession(r) {
			page(w, http.StatusUnauthorized, "Not logged in", "Run <code>meridian open</code> on the machine of the server, and open the address that it prints.")
			return
		}
		// A session comes along with whatever a browser sends: only our own pages may change something.
		if err := h.cross.Check(r); err != nil {
			page(w, http.StatusForbidden, "Refused", "The request came from another site.")
			return
		}
	}
	h.mux.ServeHTTP(w, r)
}

// IssueLogin makes an address that logs a browser in, once, within a minute, and then shows next: a path of this server,
// the Web UI's first page when empty or foreign.
func (h *Handler) IssueLogin(next string) string {
	token := h.logins.issue(localPath(next))
	return strings.TrimSuffix(h.options.BaseURL(), "/") + openPath + "?token=" + token
}

// open turns a login token into a session.
func (h *Handler) open(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	next, ok := "", false
	if r.Method == http.MethodGet { // HEAD is a look, not a login
		next, ok = h.logins.take(r.URL.Query().Get("token"))
	}
	if !ok {
		page(w, http.StatusUnauthorized, "This address is used up", "It works once and for a minute. Run <code>meridian open</code> again.")
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r), Value: h.sessions.issue(""), Path: "/", MaxAge: int(sessionLife.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	})
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (h *Handler) hasSession(r *http.Request) bool {
	// A browser may send several cookies of one name, of other paths or domains.
	for _, c := range r.CookiesNamed(cookieName(r)) {
		if h.sessions.known(c.Value) {
			return true
		}
	}
	return false
}

// cookieName has the port in it: browsers share cookies between the ports of a host, and two servers may run on one.
func cookieName(r *http.Request) string {
	return "meridian_session_" + strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' {
			return c
		}
		return -1
	}, (&url.URL{Host: r.Host}).Port())
}

// localPath is next if it is a path of this server, else the UI's first page.
func localPath(next string) string {
	u, err := url.Parse(next)
	// Browsers take a backslash for a slash: /\host is another host.
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") ||
		strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return UIPath + "/"
	}
	return next
}

// WorkflowPath is a workflow's page in the Web UI, below this server's address: of one execution, or of the newest when runID is empty.
func WorkflowPath(namespace, workflowID, runID string) string {
	p := UIPath + "/namespaces/" + url.PathEscape(namespace) + "/workflows/" + url.PathEscape(workflowID)
	if runID != "" {
		p += "/" + url.PathEscape(runID) + "/history"
	}
	return p
}

// proxy passes requests on to the UI, with the UI's key in place of whatever the browser showed.
func (h *Handler) proxy() http.Handler {
	if h.options.UIAddress == "" {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			page(w, http.StatusNotFound, "No Web UI", "This server runs without Temporal's Web UI.")
		})
	}
	target := &url.URL{Scheme: "http", Host: h.options.UIAddress}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Header.Del("Cookie")
			r.Out.Header.Set("Authorization", "Bearer "+h.options.UIKey)
		},
		ModifyResponse: func(r *http.Response) error {
			r.Header.Del("Set-Cookie")
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil {
				h.options.Logger.Warn("temporal's web ui does not answer", "error", err)
			}
			page(w, http.StatusBadGateway, "No answer", "Temporal's Web UI does not answer. Try again, or look at the server's log.")
		},
		FlushInterval: -1,
		ErrorLog:      slog.NewLogLogger(h.options.Logger.Handler(), slog.LevelDebug),
	}
}

// page writes a small page; title and text are ours, never a request's.
func page(w http.ResponseWriter, status int, title, text string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, "<!doctype html><title>"+title+" - Meridian</title><h1>"+title+"</h1><p>"+text+"</p>\n") // the browser has gone
}

// secret is 32 random bytes, fit for an address and a cookie.
func secret() string {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // crypto/rand.Read never fails
	return base64.RawURLEncoding.EncodeToString(raw)
}
