package chaos

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Soaked is what was counted while workers were replaced.
type Soaked struct {
	// Replaced workers, so many of them killed; Applied and Changed count runs that were done, Failed those that ended otherwise.
	Replaced, Killed, Applied, Changed, Failed int
	// Nondeterminism is how often a log says that a history could not be replayed.
	Nondeterminism int
}

// String is the last line.
func (r Soaked) String() string {
	return fmt.Sprintf("replaced=%d (killed=%d) applies=%d changes=%d failed=%d nondeterminism=%d",
		r.Replaced, r.Killed, r.Applied, r.Changed, r.Failed, r.Nondeterminism)
}

// Good reports whether nothing failed, and everything was there at least once.
func (r Soaked) Good(databases int) bool {
	return r.Failed == 0 && r.Nondeterminism == 0 && r.Applied == databases && r.Replaced > 0
}

// Bounds of the pause between two replacements, and the share of a hundred that is killed instead of told to leave.
const (
	replaceAfter = 2 * time.Second
	shareKilled  = 30
)

// Soak makes and changes databases of one region each for a time, and longer until each is made, while workers beside a server are replaced
// every few seconds, as if a new version were rolled out again and again.
func Soak(ctx context.Context, o Options, lasts time.Duration) (r Soaked, err error) {
	o.Apart = true
	s := newSuite(o)
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var keepers sync.WaitGroup
	keeping, stop := context.WithCancel(ctx)
	defer keepers.Wait()
	defer stop()
	if err := s.start(ctx, keeping, fail, &keepers); err != nil {
		return r, err
	}
	timeIsUp := time.AfterFunc(lasts, func() { close(s.killed) })
	defer timeIsUp.Stop()
	var lives sync.WaitGroup
	for n := range o.Databases {
		lives.Go(func() {
			if err := s.keepChanging(ctx, fmt.Sprintf("s%02d", n+1), &r); err != nil {
				fail(err)
			}
		})
	}
	replacing, stopReplacing := context.WithCancel(ctx)
	var replacer sync.WaitGroup
	replacer.Go(func() { s.replace(replacing, &r) })
	lives.Wait()
	stopReplacing()
	replacer.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, dir := range []string{o.Aside, filepath.Join(o.Data, "logs")} {
		r.Nondeterminism += occurrences(dir, "ondeterminis")
	}
	return r, context.Cause(ctx)
}

// keepChanging makes a database and changes it again and again, until the time is up.
func (s *suite) keepChanging(ctx context.Context, name string, r *Soaked) error {
	for round := 0; round == 0 || !s.over(); round++ {
		id, err := s.client.submit(ctx, name, oneRegion(name, round%20), nil, false)
		if err != nil {
			return fmt.Errorf("database %s: %w", name, err)
		}
		run, err := s.follow(ctx, name, id)
		if err != nil {
			return fmt.Errorf("database %s: %w", name, err)
		}
		s.mu.Lock()
		switch {
		case run.Phase != "done":
			r.Failed++
		case round == 0:
			r.Applied++
		default:
			r.Changed++
		}
		s.mu.Unlock()
		if run.Phase != "done" {
			s.say("FAILED %s: %s", name, run)
		}
	}
	return nil
}

// replace tells one worker after another to leave, or kills it; another is started in its place.
func (s *suite) replace(ctx context.Context, r *Soaked) {
	choice := rand.New(rand.NewPCG(s.Seed, 0))
	for pause(ctx, replaceAfter+upTo(choice, replaceAfter)) {
		s.mu.Lock()
		workers := s.servers[RoleWorker]
		if len(workers) == 0 {
			s.mu.Unlock()
			continue
		}
		pid, sig := workers[choice.IntN(len(workers))], syscall.SIGTERM
		if choice.IntN(100) < shareKilled {
			sig = syscall.SIGKILL
			r.Killed++
		}
		r.Replaced++
		done, failed := r.Applied+r.Changed, r.Failed
		s.mu.Unlock()
		for _, p := range alone(pid) {
			p.signal(sig)
		}
		s.say("%s of a worker; %d runs done, %d failed", sig, done, failed)
	}
}

// occurrences counts how often the files below a directory hold a text.
func occurrences(root, text string) (n int) {
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".log" {
			content, _ := os.ReadFile(path)
			n += bytes.Count(content, []byte(text))
		}
		return nil
	})
	return n
}
