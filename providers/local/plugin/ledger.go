package plugin

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"time"
)

// EnvLedger names a file to which each change of a server or directory appends a line before it begins and one after it ended: what was really done,
// for tests that kill everything around it.
const EnvLedger = "MERIDIAN_LOCALDB_LEDGER"

// LedgerLine is one line of the ledger.
type LedgerLine struct {
	At      time.Time `json:"time"`
	PID     int       `json:"pid"`
	Op      string    `json:"op"`       // create, update, delete
	Phase   string    `json:"phase"`    // begin, end
	DataDir string    `json:"data_dir"` // the server's, or the path of the directory beside it
	Error   string    `json:"error,omitempty"`
}

// begin notes the beginning of a change and returns what notes its end.
func begin(op, dataDir string) (end func(error)) {
	file := os.Getenv(EnvLedger)
	if file == "" {
		return func(error) {}
	}
	line := LedgerLine{PID: os.Getpid(), Op: op, DataDir: dataDir}
	line.note(file, "begin", nil)
	return func(err error) { line.note(file, "end", err) }
}

func (l LedgerLine) note(file, phase string, err error) {
	l.At, l.Phase = time.Now(), phase
	if err != nil {
		l.Error = err.Error()
	}
	text, err := json.Marshal(l)
	if err != nil {
		slog.Warn("ledger", "error", err)
		return
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		slog.Warn("ledger", "error", err)
		return
	}
	_, err = f.Write(append(text, '\n')) // one write: lines of several plugins do not mix
	if err := errors.Join(err, f.Close()); err != nil {
		slog.Warn("ledger", "error", err)
	}
}
