package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"meridian/orchestrator"
)

// WatchRun sends the run now and whenever it changes, until it has ended or ctx ends; then the channel is closed. A server that
// goes away is tried again for GiveUp. Where the channel closes before the run's end, Run tells why.
func (c *HTTPClient) WatchRun(ctx context.Context, run string) (<-chan orchestrator.RunView, error) {
	resp, err := c.openWatch(ctx, run) //nolint:bodyclose // closed below, once it is read
	if err != nil {
		return nil, err
	}
	views := make(chan orchestrator.RunView)
	go func() {
		defer close(views)
		for resp != nil {
			ended := readViews(ctx, resp.Body, views)
			resp.Body.Close()
			if ended || ctx.Err() != nil {
				return
			}
			resp = c.reopenWatch(ctx, run) //nolint:bodyclose // closed above, in the next round
		}
	}()
	return views, nil
}

func (c *HTTPClient) openWatch(ctx context.Context, run string) (*http.Response, error) {
	return c.send(ctx, http.MethodGet, join("runs", run, "watch"), nil)
}

// reopenWatch tries to reach the server again, every 100 ms at first and every 2 s in the end. It returns nil where that is pointless.
func (c *HTTPClient) reopenWatch(ctx context.Context, run string) *http.Response {
	deadline := time.Now().Add(c.o.GiveUp)
	away := false
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		resp, err := c.openWatch(ctx, run)
		var unreachable *UnreachableError
		switch {
		case err == nil:
			if away {
				c.o.Away(nil)
			}
			return resp
		case !errors.As(err, &unreachable) || time.Now().After(deadline):
			return nil
		case !away:
			away = true
			c.o.Away(err)
		}
	}
}

// readViews sends the views of one event stream on and reports whether the last one was of a run that has ended.
func readViews(ctx context.Context, stream io.Reader, views chan<- orchestrator.RunView) (ended bool) {
	events := bufio.NewReader(stream)
	var data []byte
	for {
		line, err := readLine(events)
		if err != nil {
			return ended
		}
		if field, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			data = append(append(data, bytes.TrimPrefix(field, []byte(" "))...), '\n')
			if len(data) > maxAnswer {
				return ended
			}
			continue
		}
		if len(line) > 0 || len(data) == 0 { // a heartbeat, a field that we do not need, or an event without data
			continue
		}
		var v orchestrator.RunView
		if err := json.Unmarshal(data, &v); err != nil {
			return ended
		}
		data = nil
		select {
		case <-ctx.Done():
			return ended
		case views <- v:
			ended = v.Phase.Ended()
		}
	}
}

var errLongLine = fmt.Errorf("a line of more than %d bytes", maxAnswer)

// readLine reads a line of bounded length, without its end.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxAnswer:
			return nil, errLongLine
		case err == nil:
			return bytes.TrimRight(line, "\r\n"), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}
