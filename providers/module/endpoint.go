package module

import (
	"cmp"
	"fmt"
	"net"
	"strconv"
	"strings"

	"meridian/providers"
	"meridian/stacks"
)

// Endpoint reads where the region answers, by the spec's mapping. A region that maps neither host nor endpoint answers nowhere.
func (*Provider) Endpoint(in providers.EndpointInput) (stacks.Endpoint, error) {
	s, err := settingsOf(in.ModuleInput)
	if err != nil {
		return stacks.Endpoint{}, err
	}
	if s.Outputs.Host == "" && s.Outputs.Endpoint == "" && s.Endpoint.Host == "" {
		return stacks.Endpoint{}, nil
	}
	r := reader{outputs: in.Outputs}
	e := stacks.Endpoint{
		Host: cmp.Or(r.text(s.Outputs.Host), s.Endpoint.Host), Port: cmp.Or(r.number(s.Outputs.Port), s.Endpoint.Port),
		User: cmp.Or(r.text(s.Outputs.User), s.Endpoint.User), Database: cmp.Or(r.text(s.Outputs.Database), s.Endpoint.Database),
		TLSMode: cmp.Or(s.Endpoint.TLS, "prefer"),
	}
	if s.Outputs.Endpoint != "" {
		host, port, err := splitEndpoint(r.text(s.Outputs.Endpoint))
		if err != nil {
			r.fail("output %s: %v", s.Outputs.Endpoint, err)
		}
		e.Host, e.Port = host, cmp.Or(port, e.Port)
	}
	switch {
	case s.Outputs.Secret != "":
		e.Secret = madeSecret(in.Region.Name)
	case s.Endpoint.Secret != "":
		e.Secret = regionSecret(in.Region.Name, s.Endpoint.Secret)
	}
	if r.err != nil {
		return stacks.Endpoint{}, fmt.Errorf("region %s: %w: %w", in.Region.Name, r.err, providers.ErrPermanent)
	}
	if e.Host == "" || e.Port <= 0 {
		return stacks.Endpoint{}, fmt.Errorf("region %s: its outputs say neither host nor port; see settings.outputs: %w", in.Region.Name, providers.ErrPermanent)
	}
	return e, nil
}

// splitEndpoint reads "host:port", "[host]:port", "host" or a URL's authority.
func splitEndpoint(text string) (host string, port int, err error) {
	if _, rest, ok := strings.Cut(text, "://"); ok {
		text, _, _ = strings.Cut(rest, "/")
		if _, after, ok := strings.Cut(text, "@"); ok {
			text = after
		}
	}
	if !strings.Contains(text, ":") || strings.HasSuffix(text, "]") {
		return strings.Trim(text, "[]"), 0, nil
	}
	host, digits, err := net.SplitHostPort(text)
	if err != nil {
		return "", 0, fmt.Errorf("it is no host:port: %w", err)
	}
	if port, err = strconv.Atoi(digits); err != nil || port < 1 || port > 65535 {
		return "", 0, fmt.Errorf("its port is %q", digits)
	}
	return host, port, nil
}

// reader reads outputs by path and remembers the first that is not there.
type reader struct {
	outputs map[string]any
	err     error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

// at is the value at a path, nil where the path is empty.
func (r *reader) at(path string) any {
	if path == "" {
		return nil
	}
	v, err := lookUp(r.outputs, path)
	if err != nil {
		r.fail("%v", err)
	}
	return v
}

// lookUp follows a path into outputs: "cluster.endpoint", "hosts.0".
func lookUp(outputs map[string]any, path string) (any, error) {
	var v any = outputs
	for i, step := range strings.Split(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			next, ok := at[step]
			if !ok && i == 0 {
				return nil, fmt.Errorf("the state has no output %s", step)
			}
			if !ok {
				return nil, fmt.Errorf("output %s has no %s", path, step)
			}
			v = next
		case []any:
			n, err := strconv.Atoi(step)
			if err != nil || n < 0 || n >= len(at) {
				return nil, fmt.Errorf("output %s has %d items and no %s", path, len(at), step)
			}
			v = at[n]
		default:
			return nil, fmt.Errorf("output %s has nothing inside at %s", path, step)
		}
	}
	return v, nil
}

func (r *reader) text(path string) string {
	switch v := r.at(path).(type) {
	case nil:
		if path != "" {
			r.fail("output %s is null", path)
		}
	case string:
		return v
	default:
		r.fail("output %s is no text", path)
	}
	return ""
}

func (r *reader) number(path string) int {
	v := r.at(path)
	if v == nil && path == "" {
		return 0
	}
	n, ok := providers.WholeNumber(v)
	if text, is := v.(string); is {
		i, err := strconv.Atoi(text)
		n, ok = i, err == nil
	}
	if !ok || n < 1 || n > 65535 {
		r.fail("output %s is no port", path)
		return 0
	}
	return n
}
