package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"

	"meridian/orchestrator"
)

// Bearer returns a check whether a request carries this token, in constant time. An empty token lets nobody in.
func Bearer(token string) func(*http.Request) bool {
	want := sha256.Sum256([]byte(token))
	return func(r *http.Request) bool {
		scheme, got, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		sum := sha256.Sum256([]byte(strings.TrimSpace(got)))
		same := subtle.ConstantTimeCompare(sum[:], want[:]) == 1
		return same && token != "" && strings.EqualFold(scheme, "Bearer")
	}
}

// recoverPanics turns a panic into an answer, so that one request cannot take the others down.
func (s *server) recoverPanics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch v := recover(); v {
			case nil:
			case http.ErrAbortHandler:
				panic(v)
			default:
				s.Logger.Error("panic in a request", "method", r.Method, "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
				writeProblem(w, http.StatusInternalServerError, &orchestrator.Problem{
					Code: orchestrator.CodeInternal, Title: "something went wrong inside the server", Next: "see the server's log",
				})
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// checkHost lets only loopback names and the configured ones in: a page of another site whose name was made to point here
// (DNS rebinding) carries its own name in Host.
func (s *server) checkHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := hostName(r.Host)
		if !isLoopback(host) && !slices.ContainsFunc(s.Hosts, func(h string) bool { return strings.EqualFold(h, host) }) {
			writeProblem(w, http.StatusMisdirectedRequest, &orchestrator.Problem{
				Code: CodeInvalidRequest, Title: "this server does not go by that name",
				Next: "use its loopback address, or start it with --allow-host NAME",
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// guard asks every API request for the token, and refuses those that a page of another origin sent.
func (s *server) guard(next http.Handler) http.Handler {
	bearer, password := Bearer(s.Token), basic(s.Token)
	authorized := func(r *http.Request) bool { return bearer(r) || password(r) }
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isAPI(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		if !sameOrigin(r) {
			writeProblem(w, http.StatusForbidden, &orchestrator.Problem{
				Code: orchestrator.CodeUnauthorized, Title: "requests from pages of another origin are refused",
			})
			return
		}
		if r.URL.Path != Prefix+"/healthz" && !authorized(r) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="meridian"`)
			writeProblem(w, http.StatusUnauthorized, &orchestrator.Problem{
				Code: orchestrator.CodeUnauthorized, Title: "no valid token",
				Next: "the token is in the file \"token\" of the server's data directory: use --data DIR, or set MERIDIAN_TOKEN",
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func sameOrigin(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

func hostName(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.Trim(hostport, "[]")
}

// isLoopback reports whether a host name can only mean this machine.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
