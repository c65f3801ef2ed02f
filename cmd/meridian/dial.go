package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"meridian/orchestrator/api"
)

// dial finds the server: --server, MERIDIAN_SERVER, or the local server of the data directory.
func (a *app) dial() (*api.HTTPClient, error) {
	dir, err := a.dataDir()
	if err != nil {
		return nil, err
	}
	address := a.server
	if address == "" {
		address = os.Getenv("MERIDIAN_SERVER")
	}
	if address == "" {
		info, err := readServerInfo(dir)
		switch {
		case errors.Is(err, fs.ErrPermission):
			return nil, &exitError{
				Code: exitNotLoggedIn, What: "the data directory " + dir + " belongs to somebody else",
				Next: "ask its owner, or name your server with --server or --data",
			}
		case err != nil:
			return nil, &exitError{
				Code: exitNoServer, What: "no server runs on the data directory " + dir,
				Next: "start one with `meridian server`, or name it with --server, MERIDIAN_SERVER or --data",
			}
		}
		address = info.URL
	}
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	token, err := a.token(dir, address)
	if err != nil {
		return nil, err
	}
	client, err := api.NewHTTPClient(api.ClientOptions{URL: address, Token: token, Away: a.away})
	if err != nil {
		return nil, usage("--server %s: %v", address, err)
	}
	return client, nil
}

// token is MERIDIAN_TOKEN, else the local server's: that one goes to loopback addresses only.
func (a *app) token(dir, address string) (string, error) {
	if token := os.Getenv("MERIDIAN_TOKEN"); token != "" {
		return token, nil
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", usage("--server %s is no address: want one like http://127.0.0.1:7480", address)
	}
	if !isLocal(u.Hostname()) {
		return "", nil
	}
	token, err := readToken(filepath.Join(dir, tokenFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil // the server says what it thinks of that
	case errors.Is(err, fs.ErrPermission):
		return "", &exitError{
			Code: exitNotLoggedIn, What: fmt.Sprintf("you may not read the token in %s", dir),
			Next: "ask the server's owner, or set MERIDIAN_TOKEN",
		}
	}
	return token, err
}

// away tells that a watched server went away or is back.
func (a *app) away(err error) {
	if err != nil {
		a.progress("the server is away, trying again; runs go on without it")
		return
	}
	a.progress("the server is back")
}

func isLocal(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// isLocalAddress reports whether host:port is a loopback address.
func isLocalAddress(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && isLocal(host)
}
