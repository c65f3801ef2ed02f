package machine

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// occupiedTries is how often an address is asked that is in use and where nobody listens: who held it was leaving just then.
const occupiedTries = 3

// IsLoopback reports whether the address is an IPv4 one of this machine alone.
func IsLoopback(address string) bool {
	a, err := netip.ParseAddr(address)
	return err == nil && a.Is4() && a.IsLoopback()
}

// Occupied reports whether something holds the address and port, on it alone or on all addresses: it tries to bind, as a server would, and to connect.
func Occupied(ctx context.Context, address string, port int) (bool, error) {
	hostPort := net.JoinHostPort(address, strconv.Itoa(port))
	for range occupiedTries {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", hostPort)
		switch {
		case err == nil:
			return false, l.Close()
		case ctx.Err() != nil:
			return false, ctx.Err()
		case Answers(ctx, hostPort) || len(Listeners(address, port)) > 0:
			return true, nil
		case !errors.Is(err, syscall.EADDRINUSE):
			return false, fmt.Errorf("no server can listen on %s: %w", hostPort, err)
		}
	}
	return true, nil // bound by something that does not listen
}

// Answers reports whether something accepts a connection there.
func Answers(ctx context.Context, hostPort string) bool {
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "tcp4", hostPort)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// ListenerPid returns the process that listens there, 0 where it cannot be seen.
func ListenerPid(address string, port int) int {
	inodes := Listeners(address, port)
	if len(inodes) == 0 {
		return 0
	}
	lowest := 0
	for _, pid := range Processes() {
		fds, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/fd")
		if err != nil {
			continue
		}
		for _, fd := range fds {
			link, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "fd", fd.Name()))
			if err == nil && inodes[link] && (lowest == 0 || pid < lowest) {
				lowest = pid // a server's children hold its socket too
			}
		}
	}
	return lowest
}

// Listeners finds the sockets that listen on the address and port or on every address, named as /proc/PID/fd names them.
func Listeners(address string, port int) map[string]bool {
	found := map[string]bool{}
	want := map[string]bool{"00000000": true, strings.Repeat("0", 32): true}
	if a, err := netip.ParseAddr(address); err == nil && a.Is4() {
		b := a.As4()
		want[strings.ToUpper(hex.EncodeToString([]byte{b[3], b[2], b[1], b[0]}))] = true // the kernel prints host order; amd64 and arm64 are little-endian
	}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			const listening = "0A"
			if len(f) < 10 || f[3] != listening {
				continue
			}
			addr, portHex, _ := strings.Cut(f[1], ":")
			if p, err := strconv.ParseUint(portHex, 16, 16); err == nil && int(p) == port && want[addr] {
				found["socket:["+f[9]+"]"] = true
			}
		}
	}
	return found
}
