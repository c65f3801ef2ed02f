package orchestrator

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"meridian/persistence/journal"
	"meridian/stacks/terraform"
)

// watchEvery is the shortest time between two views of a watched run.
const watchEvery = 100 * time.Millisecond

// WatchRun sends the run at once and then whenever it may have changed, at most every 100 ms, until it has ended or ctx ends; then the
// channel is closed.
func (c *Client) WatchRun(ctx context.Context, run string) (<-chan RunView, error) {
	first, err := c.Run(ctx, run)
	if err != nil {
		return nil, err
	}
	out := make(chan RunView)
	go func() {
		defer close(out)
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		last := encoded(first)
		for view := first; ; {
			select {
			case out <- view:
			case <-ctx.Done():
				return
			}
			if view.Phase.Ended() {
				return
			}
			for {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
				if view, err = c.Run(ctx, run); err != nil {
					c.logger.Debug("watch", "run", run, "error", err)
					continue
				}
				if now := encoded(view); now != last {
					last = now
					break
				}
			}
		}
	}()
	return out, nil
}

func encoded(v RunView) string {
	b, err := json.Marshal(v)
	if err != nil {
		return time.Now().String()
	}
	return string(b)
}

// progressCache follows the events of running steps, each once, however many watch.
type progressCache struct {
	mu    sync.Mutex
	steps map[string]*stepProgress
}

type stepProgress struct {
	progress terraform.Progress
	seq      int64
	seen     time.Time
}

// keepProgress is how long the progress of a step that nobody asks for is kept.
const keepProgress = time.Minute

func (p *progressCache) of(ctx context.Context, j *journal.Journal, step string) (terraform.Progress, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.steps == nil {
		p.steps = map[string]*stepProgress{}
	}
	for id, s := range p.steps {
		if time.Since(s.seen) > keepProgress {
			delete(p.steps, id)
		}
	}
	s := p.steps[step]
	if s == nil {
		s = &stepProgress{}
		p.steps[step] = s
	}
	s.seen = time.Now()
	events, err := j.Events(ctx, step, s.seq, 1000)
	if err != nil {
		return terraform.Progress{}, err
	}
	for _, e := range events {
		s.seq = e.Seq
		if ev, err := terraform.ParseEvent(e.Payload); err == nil {
			s.progress.Observe(ev)
		}
	}
	return s.progress, nil
}

// settled is how old a log line must be to be shown while its run goes on: younger ones of other regions may still be on their way.
const settled = 600 * time.Millisecond

// Logs lists a run's log lines with a sequence above after: what terraform said and what Meridian did, by time. The sequence is the
// time in nanoseconds.
func (c *Client) Logs(ctx context.Context, run string, after int64, limit int) ([]LogLine, error) {
	r, err := c.catalog.Run(ctx, run)
	if err != nil {
		return nil, c.problem(err, "run "+run)
	}
	until := time.Now()
	if !r.Phase.Ended() {
		until = until.Add(-settled)
	}
	lines, err := c.catalog.LogLines(ctx, run, after)
	if err != nil {
		return nil, err
	}
	var out []LogLine
	for _, l := range lines {
		out = append(out, LogLine{Seq: l.At.UnixNano(), At: l.At, Region: l.Part, Level: l.Level, Text: l.Text})
	}
	steps, err := c.journal.Steps(ctx, run)
	if err != nil {
		return nil, err
	}
	pruned, err := c.catalog.PrunedAt(ctx, run)
	if err != nil {
		return nil, err
	}
	if pruned != nil {
		out = append(out, LogLine{Seq: pruned.UnixNano(), At: *pruned, Level: "INFO", Text: "what was logged of this run was removed: it was older than what the server's settings keep (retention)"})
	}
	for _, step := range steps {
		more, err := c.stepLogs(ctx, step, after)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	out = slices.DeleteFunc(out, func(l LogLine) bool { return l.Seq <= after || l.At.After(until) })
	slices.SortStableFunc(out, func(a, b LogLine) int { return int(min(max(a.Seq-b.Seq, -1), 1)) })
	if limit > 0 && len(out) > limit {
		out = out[:limit]
	}
	return out, nil
}

// stepLogs turns a step's events into lines, which never share a time: each is at least a nanosecond later.
func (c *Client) stepLogs(ctx context.Context, step journal.StepInfo, after int64) ([]LogLine, error) {
	var out []LogLine
	var seq, last int64
	for {
		events, err := c.journal.Events(ctx, step.ID, seq, 1000)
		if err != nil {
			return nil, fmt.Errorf("events of %s: %w", step.ID, err)
		}
		for _, e := range events {
			seq = e.Seq
			ev, err := terraform.ParseEvent(e.Payload)
			if err != nil {
				continue
			}
			level, text := terraform.LogLine(ev)
			last = max(e.At.UnixNano(), last+1)
			if text != "" && last > after {
				out = append(out, LogLine{Seq: last, At: time.Unix(0, last), Region: step.Stack.Region, Step: step.ID, Level: level, Text: text})
			}
		}
		if len(events) < 1000 {
			return out, nil
		}
	}
}
