package module

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"meridian/providers"
)

// maxWords is how much of what a gate says is kept.
const maxWords = 200

// Gate takes one look at the region's own gate.
func (*Provider) Gate(ctx context.Context, in providers.EndpointInput) (providers.ReadyStatus, error) {
	s, err := settingsOf(in.ModuleInput)
	if err != nil {
		return providers.ReadyStatus{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(cmp.Or(s.Ready.Timeout, defaultTimeout)))
	defer cancel()
	switch s.gate() {
	case gateTCP:
		e, err := (&Provider{}).Endpoint(in)
		if err != nil || e.Host == "" {
			return providers.ReadyStatus{State: providers.StateReady}, err
		}
		return dial(ctx, net.JoinHostPort(e.Host, strconv.Itoa(e.Port))), nil
	case gateHTTP:
		url := s.Ready.URL
		if s.Ready.Output != "" {
			r := reader{outputs: in.Outputs}
			if url = r.text(s.Ready.Output); r.err != nil {
				return providers.ReadyStatus{}, fmt.Errorf("region %s: %w: %w", in.Region.Name, r.err, providers.ErrPermanent)
			}
		}
		return get(ctx, url, s.Ready.Status), nil
	case gateCommand:
		return run(ctx, s.Ready.Command, in)
	}
	return providers.ReadyStatus{State: providers.StateReady}, nil
}

// gate is the region's gate: TCP where it has an address, else none.
func (s settings) gate() string {
	if s.Ready.Gate != "" {
		return s.Ready.Gate
	}
	if s.Outputs.Host != "" || s.Outputs.Endpoint != "" || s.Endpoint.Host != "" {
		return gateTCP
	}
	return gateNone
}

func pending(format string, args ...any) providers.ReadyStatus {
	return providers.ReadyStatus{State: providers.StatePending, Message: brief(fmt.Sprintf(format, args...))}
}

func dial(ctx context.Context, address string) providers.ReadyStatus {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return pending("nothing accepts at %s yet", address)
	}
	_ = conn.Close()
	return providers.ReadyStatus{State: providers.StateReady}
}

// get asks a URL. A redirection is an answer like any other.
func get(ctx context.Context, url string, want int) providers.ReadyStatus {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil || req.URL.Host == "" {
		return providers.ReadyStatus{State: providers.StateFailed, Message: "the gate's URL cannot be asked: want http://HOST/ or https://HOST/"}
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		return pending("%s does not answer yet", req.URL.Host)
	}
	defer res.Body.Close()
	if res.StatusCode == want || want == 0 && res.StatusCode/100 == 2 {
		return providers.ReadyStatus{State: providers.StateReady, Raw: res.Status}
	}
	status := pending("%s answers %s", req.URL.Host, res.Status)
	status.Raw = res.Status
	return status
}

// run runs a command with the region's outputs that are no secrets in its environment, as JSON.
func run(ctx context.Context, command []string, in providers.EndpointInput) (providers.ReadyStatus, error) {
	outputs, err := json.Marshal(in.Outputs)
	if err != nil {
		return providers.ReadyStatus{}, fmt.Errorf("outputs: %w", err)
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.WaitDelay = "/", time.Second
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "MERIDIAN_REGION=" + in.Region.Name, "MERIDIAN_OUTPUTS=" + string(outputs)}
	said := head{left: 4 * maxWords}
	cmd.Stdout, cmd.Stderr = &said, &said
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return providers.ReadyStatus{State: providers.StateReady}, nil
	case errors.As(err, &exit) || ctx.Err() != nil:
		return pending("%s: %v: %s", command[0], cmp.Or(ctx.Err(), err), said.text.String()), nil //nolint:nilerr // not yet is the answer
	}
	return providers.ReadyStatus{State: providers.StateFailed, Message: brief(fmt.Sprintf("the command of the gate cannot be run: %v", err))}, nil
}

// head keeps the beginning of what is written: a command may say more than there is memory.
type head struct {
	text bytes.Buffer
	left int
}

func (h *head) Write(p []byte) (int, error) {
	keep := p[:min(len(p), h.left)]
	h.left -= len(keep)
	h.text.Write(keep)
	return len(p), nil
}

// brief is the beginning of a text, in one line.
func brief(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxWords {
		text = strings.ToValidUTF8(text[:maxWords], "") + "..."
	}
	return text
}
