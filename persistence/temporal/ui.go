package temporal

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/temporalio/ui-server/v2/server/api"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	"github.com/temporalio/ui-server/v2/server/route"
	"github.com/temporalio/ui-server/v2/ui"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
)

// maxUIMessage bounds one answer of the frontend to the UI: a page of a large history.
const maxUIMessage = 64 << 20

// webUI is the running Web UI. It is put together from ui-server's routes: ui-server's own Start ends the process where it cannot listen.
type webUI struct {
	address string
	server  *http.Server
	conn    *grpc.ClientConn
}

// startUI serves the UI below o.PublicPath, to who shows the key.
func startUI(frontend string, o Options, k key) (*webUI, error) {
	assets, err := uiAssets()
	if err != nil {
		return nil, err
	}
	index, policy, err := indexPage(assets, o.PublicPath)
	if err != nil {
		return nil, err
	}
	conn, err := uiConnection(frontend, o)
	if err != nil {
		return nil, err
	}
	backend, err := uiBackend(conn, frontend, o)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	listener, err := freePort()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	files := http.FileServerFS(assets)
	pages := http.NewServeMux()
	pages.Handle("/api/", backend)
	pages.Handle("/render", backend)
	pages.Handle("/_app/", files)
	pages.Handle("/favicon.ico", files)
	if o.Sealer != nil {
		pages.Handle(codecPath+"/", decodeHandler(o.Sealer))
	}
	pages.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", policy)
		_, _ = w.Write(index) // the browser has gone
	})
	server := &http.Server{
		Handler:           requireKey(k, publicPath(o.PublicPath, pages)),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			o.Logger.Error("temporal's web ui ended", "error", err)
		}
	}()
	return &webUI{address: listener.Addr().String(), server: server, conn: conn}, nil
}

// stop ends the UI at once; it holds nothing.
func (u *webUI) stop() {
	_ = u.server.Close() // its connections are idle or of no use any more
	_ = u.conn.Close()   // likewise
}

// uiAssets are the UI's files.
func uiAssets() (fs.FS, error) {
	all, err := ui.Assets()
	if err != nil {
		return nil, fmt.Errorf("the ui's files: %w", err)
	}
	return fs.Sub(all, "local")
}

// uiBackend answers the UI's calls. The gateway passes the Authorization header on to the frontend.
func uiBackend(conn *grpc.ClientConn, frontend string, o Options) (http.Handler, error) {
	settings := &uiconfig.Config{
		TemporalGRPCAddress: frontend,
		Host:                loopback,
		PublicPath:          o.PublicPath,
		EnableUI:            true,
		DefaultNamespace:    o.Namespace,
		DisableNewsFetch:    true,
		HideLogs:            true,
	}
	if o.Sealer != nil {
		// The browser asks below our own address, with its session: who may see the UI may see what is in it.
		settings.Codec = uiconfig.Codec{Endpoint: o.PublicPath + codecPath, IncludeCredentials: true}
	}
	provider, err := uiconfig.NewConfigProviderWithRefresh(uiSettings{settings})
	if err != nil {
		return nil, fmt.Errorf("the ui's settings: %w", err)
	}
	e := echo.New()
	calls := e.Group("/api/v1")
	calls.GET("/settings", api.GetSettings(provider))
	calls.GET("/ui-extensions", api.GetUIExtensions(provider, api.TemporalAccessCheck(conn, nil)))
	calls.GET(api.WorkflowRawHistoryUrl, api.WorkflowRawHistoryHandler(workflowservice.NewWorkflowServiceClient(conn)))
	calls.Any("/*", api.TemporalAPIHandler(provider, nil, conn))
	route.SetRenderRoute(e, "/")
	return e, nil
}

type uiSettings struct{ config *uiconfig.Config }

// GetConfig gives the fixed settings.
func (s uiSettings) GetConfig() (*uiconfig.Config, error) { return s.config, nil }

var (
	policyTag    = regexp.MustCompile(`<meta http-equiv="content-security-policy"[^>]*>`)
	inlineScript = regexp.MustCompile(`(?s)<script>(.*?)</script>`)
)

// indexPage is the UI's one page for a base path, and the content security policy that allows its inline script and nothing else.
func indexPage(assets fs.FS, base string) (page []byte, policy string, err error) {
	page, err = fs.ReadFile(assets, "index.html")
	if err != nil {
		return nil, "", fmt.Errorf("the ui's page: %w", err)
	}
	page = policyTag.ReplaceAll(page, nil)
	page = bytes.ReplaceAll(page, []byte(`base: ""`), []byte(`base: "`+base+`"`))
	page = bytes.ReplaceAll(page, []byte(`"/_app/`), []byte(`"`+base+`/_app/`))
	script := inlineScript.FindSubmatch(page)
	if script == nil || !bytes.Contains(page, []byte(`base: "`+base+`"`)) {
		return nil, "", errors.New("the ui's page has changed: its script was not found")
	}
	sum := sha256.Sum256(script[1])
	policy = fmt.Sprintf("script-src 'strict-dynamic' 'sha256-%s'; object-src 'none'; base-uri 'self'; frame-ancestors 'self'; frame-src 'self'",
		base64.StdEncoding.EncodeToString(sum[:]))
	return page, policy, nil
}

// publicPath serves pages below base and sends everything else there.
func publicPath(base string, pages http.Handler) http.Handler {
	below := http.StripPrefix(base, pages)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, base+"/") {
			http.Redirect(w, r, base+"/", http.StatusTemporaryRedirect)
			return
		}
		below.ServeHTTP(w, r)
	})
}

// requireKey lets pass who shows the key.
func requireKey(k key, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(k.bearer()))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := sha256.Sum256([]byte(r.Header.Get("Authorization")))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			http.Error(w, "this page is for Meridian's own proxy: run `meridian open`", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
