package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// run is what the suite reads of a run.
type run struct {
	ID         string     `json:"id"`
	Phase      string     `json:"phase"`
	Reason     string     `json:"reason"`
	Message    string     `json:"message"`
	PlanDigest string     `json:"planDigest"`
	Approved   bool       `json:"approved"`
	HasChanges bool       `json:"hasChanges"`
	Questions  []question `json:"questions"`
	Changes    []struct {
		Address string `json:"address"`
		Action  string `json:"action"`
		Region  string `json:"region"`
	} `json:"changes"`
	Regions []struct {
		Region  string `json:"region"`
		Phase   string `json:"phase"`
		Message string `json:"message"`
	} `json:"regions"`
	Links []struct {
		Name  string `json:"name"`
		Phase string `json:"phase"`
	} `json:"links"`
	Diagnostics []struct {
		Rule    string `json:"rule"`
		Summary string `json:"summary"`
		Detail  string `json:"detail"`
	} `json:"diagnostics"`
}

func (r run) ended() bool {
	switch r.Phase {
	case "done", "failed", "cancelled", "superseded":
		return true
	}
	return false
}

// String is what a person needs to know of a run that did not end well.
func (r run) String() string {
	s := fmt.Sprintf("run %s is %s", r.ID, r.Phase)
	for _, part := range []string{r.Reason, r.Message} {
		if part != "" {
			s += ": " + part
		}
	}
	for _, x := range r.Regions {
		s += fmt.Sprintf("; %s %s %s", x.Region, x.Phase, x.Message)
	}
	for _, d := range r.Diagnostics {
		s += fmt.Sprintf("; [%s] %s: %s", d.Rule, d.Summary, d.Detail)
	}
	return s
}

type database struct {
	Links []struct {
		Name  string `json:"name"`
		Phase string `json:"phase"`
	} `json:"links"`
}

// problem is an answer of the server that says no.
type problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Title  string `json:"title"`
	Detail string `json:"detail"`

	Diagnostics []struct {
		Rule    string `json:"rule"`
		Summary string `json:"summary"`
		Detail  string `json:"detail"`
	} `json:"diagnostics"`
}

// Error says what the server said.
func (p *problem) Error() string {
	s := fmt.Sprintf("%d %s: %s %s", p.Status, p.Code, p.Title, p.Detail)
	for _, d := range p.Diagnostics {
		s += fmt.Sprintf("; [%s] %s: %s", d.Rule, d.Summary, d.Detail)
	}
	return s
}

func isCode(err error, codes ...string) bool {
	var p *problem
	if !errors.As(err, &p) {
		return false
	}
	for _, c := range codes {
		if p.Code == c {
			return true
		}
	}
	return false
}

// client talks to whichever server of the data directory answers now.
type client struct{ data string }

var web = &http.Client{Timeout: 20 * time.Second}

// once asks once. A *problem is the server's own word; any other error means that there was no whole answer.
func (c client) once(ctx context.Context, method, path string, in, out any) error {
	var info struct{ URL string }
	text, err := os.ReadFile(filepath.Join(c.data, "server.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &info); err != nil {
		return err
	}
	token, err := os.ReadFile(filepath.Join(c.data, "token"))
	if err != nil {
		return err
	}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	if in == nil {
		body = nil
	}
	req, err := http.NewRequestWithContext(ctx, method, info.URL+"/api/v1"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := web.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		p := &problem{Status: resp.StatusCode}
		if err := json.Unmarshal(answer, p); err != nil || p.Code == "" || p.Code == "internal" {
			return fmt.Errorf("%s %s: %s", method, path, resp.Status)
		}
		return p
	}
	return json.Unmarshal(answer, out)
}

// retryEvery is the pause between two tries.
const retryEvery = 100 * time.Millisecond

// read asks until a server answers, or ctx ends.
func (c client) read(ctx context.Context, path string, out any) error {
	for {
		err := c.once(ctx, http.MethodGet, path, nil, out)
		var p *problem
		if err == nil || errors.As(err, &p) {
			return err
		}
		if !pause(ctx, retryEvery) {
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

func (c client) run(ctx context.Context, id string) (r run, err error) {
	return r, c.read(ctx, "/runs/"+id, &r)
}

func (c client) runs(ctx context.Context, name string) (out []run, err error) {
	return out, c.read(ctx, "/runs?namespace=default&limit=100&name="+name, &out)
}

// begin posts what makes a run of a database, once: where the answer is lost, it looks whether the run was made before it asks again.
func (c client) begin(ctx context.Context, name, path string, in any, take func([]byte) (string, error)) (string, error) {
	known := map[string]bool{}
	before, err := c.runs(ctx, name)
	if err != nil {
		return "", err
	}
	for _, r := range before {
		known[r.ID] = true
	}
	for {
		var answer json.RawMessage
		err := c.once(ctx, http.MethodPost, path, in, &answer)
		if err == nil {
			return take(answer)
		}
		var p *problem
		if errors.As(err, &p) {
			return "", err
		}
		if !pause(ctx, retryEvery) {
			return "", errors.Join(context.Cause(ctx), err)
		}
		now, err := c.runs(ctx, name)
		if err != nil {
			return "", err
		}
		for _, r := range now {
			if !known[r.ID] {
				return r.ID, nil
			}
		}
	}
}

// submit submits a spec, with the modules beside it, without a yes, and returns its run.
func (c client) submit(ctx context.Context, name, spec string, modules map[string][]byte, check bool) (string, error) {
	document := map[string]any{"file": name + ".yaml", "text": spec, "modules": modules}
	in := map[string]any{"documents": []any{document}, "check": check, "actor": "chaos"}
	return c.begin(ctx, name, "/submissions", in, func(answer []byte) (string, error) {
		var out struct{ Runs []run }
		if err := json.Unmarshal(answer, &out); err != nil || len(out.Runs) != 1 {
			return "", fmt.Errorf("%d runs of a submission: %w", len(out.Runs), err)
		}
		return out.Runs[0].ID, nil
	})
}

func (c client) destroy(ctx context.Context, name string) (string, error) {
	return c.begin(ctx, name, "/databases/default/"+name+"/destroy", map[string]string{"actor": "chaos"}, func(answer []byte) (string, error) {
		var out run
		return out.ID, json.Unmarshal(answer, &out)
	})
}

// connect asks how the application's user reaches a region.
func (c client) connect(ctx context.Context, name, region string) (string, error) {
	for {
		var v struct{ URL string }
		err := c.once(ctx, http.MethodPost, "/databases/default/"+name+"/connect", map[string]any{"region": region, "reveal": true}, &v)
		var p *problem
		if err == nil || errors.As(err, &p) {
			return v.URL, err
		}
		if !pause(ctx, retryEvery) {
			return "", errors.Join(context.Cause(ctx), err)
		}
	}
}

// pause waits; it is false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
