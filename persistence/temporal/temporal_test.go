package temporal

import (
	"fmt"
	"testing"
	"time"
)

func TestStartTwiceInOneProcess(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		began := time.Now()
		s, err := Start(t.Context(), Options{Dir: dir, Logger: quiet(), UI: true})
		if err != nil {
			t.Fatal(err)
		}
		started := time.Since(began)
		c, err := s.Client()
		if err != nil {
			t.Fatal(err)
		}
		t.Run("workflow", func(t *testing.T) {
			startWorker(t, c, "q")
			first := runGreet(t, c, "q", fmt.Sprintf("first-%d", i))
			total := time.Since(began)
			second := runGreet(t, c, "q", fmt.Sprintf("second-%d", i))
			t.Logf("start %v, first workflow %v (%v after start), second %v", started, first, total, second)
		})
		c.Close()
		began = time.Now()
		s.Stop()
		t.Logf("stop %v", time.Since(began))
	}
}
