package temporal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// AddressFileName is the file under the data directory that says where the frontend of the server that runs there listens.
const AddressFileName = "temporal.json"

// ErrNoServer means that no server has said where it listens.
var ErrNoServer = errors.New("no Temporal server runs on the data directory")

// place is what a server leaves for others of its machine. The key lies beside it.
type place struct {
	Address   string `json:"address"`
	Namespace string `json:"namespace"`
}

// announce says where the frontend is; in memory there is nobody to tell.
func (s *Server) announce() error {
	if s.options.Dir == "" {
		return nil
	}
	text, err := json.Marshal(place{Address: s.FrontendAddress(), Namespace: s.options.Namespace})
	if err != nil {
		return fmt.Errorf("encode %s: %w", AddressFileName, err)
	}
	tmp, err := os.CreateTemp(s.options.Dir, AddressFileName+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("say where temporal is: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(text, '\n'))
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(s.options.Dir, AddressFileName))
	}
	if err != nil {
		return fmt.Errorf("say where temporal is: %w", err)
	}
	s.announced = true
	return nil
}

// withdraw takes back what announce said.
func (s *Server) withdraw() {
	if s.announced {
		_ = os.Remove(filepath.Join(s.options.Dir, AddressFileName))
	}
}

// readPlace reads where the server of a data directory is; ErrNoServer where none has said so.
func readPlace(dir string) (place, error) {
	var p place
	text, err := os.ReadFile(filepath.Join(dir, AddressFileName))
	if errors.Is(err, fs.ErrNotExist) {
		return p, fmt.Errorf("%w: %s", ErrNoServer, dir)
	}
	if err != nil {
		return p, fmt.Errorf("where temporal is: %w", err)
	}
	if err := json.Unmarshal(text, &p); err != nil || p.Address == "" {
		return p, fmt.Errorf("%s names no address: start the server again", filepath.Join(dir, AddressFileName))
	}
	return p, nil
}

// reconnectWithin is the longest pause between two tries to reach a server that went away: it is on this machine and back in seconds.
const reconnectWithin = time.Second

// Follow returns a client of whatever server runs on a data directory, now or later: each new connection goes to where the server then
// is, with the key that it then has. Nothing is connected yet; calls fail while no server is there, and work again once one is.
func Follow(dir string, log *slog.Logger) (client.Client, error) {
	return Join(Options{Dir: dir, Logger: log})
}

func follow(o Options) (client.Client, error) {
	f := follower(o.Dir)
	retry := grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: 5 * time.Second}
	retry.Backoff.BaseDelay, retry.Backoff.MaxDelay = 50*time.Millisecond, reconnectWithin
	return client.NewLazyClient(withCodec(client.Options{
		HostPort:        "passthrough:///" + AddressFileName, // no name to look up: dial knows
		Namespace:       DefaultNamespace,
		HeadersProvider: f,
		Logger:          newSDKLogger(o.Logger),
		ConnectionOptions: client.ConnectionOptions{
			DialOptions: []grpc.DialOption{grpc.WithContextDialer(f.dial), grpc.WithConnectParams(retry)},
		},
	}, o.Sealer, o.Settings.Encrypted()))
}

// follower is the data directory whose server is followed.
type follower string

// GetHeaders gives the server's key of this moment to each call.
func (f follower) GetHeaders(ctx context.Context) (map[string]string, error) {
	k, err := readKey(filepath.Join(string(f), KeyFileName))
	if err != nil {
		return nil, err
	}
	return k.GetHeaders(ctx)
}

// dial connects to where the server is now.
func (f follower) dial(ctx context.Context, _ string) (net.Conn, error) {
	p, err := readPlace(string(f))
	if err != nil {
		return nil, err
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", p.Address)
}
