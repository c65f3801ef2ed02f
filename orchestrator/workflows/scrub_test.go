package workflows

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/sdk/v1"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// epoch is when every recording begins; each event takes a second.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

var (
	anyUUID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	anyTime = regexp.MustCompile(`\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})`)
)

// scrubber takes out of histories what differs between two recordings or names a machine: times, random IDs, identities, build IDs.
// What a replay looks at stays.
type scrubber struct{ uuids map[string]string }

// newScrubber numbers the executions in the order of their first question.
func newScrubber(seen []workflow.Execution) *scrubber {
	s := &scrubber{uuids: map[string]string{}}
	for i, e := range seen {
		s.uuids[e.RunID] = numbered(i + 1)
	}
	return s
}

// numbered is a UUID that says it is none.
func numbered(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

func (s *scrubber) scrub(h *history.History) {
	for _, e := range h.GetEvents() {
		at := epoch.Add(time.Duration(e.GetEventId()) * time.Second)
		s.message(e.ProtoReflect(), at)
		e.TaskId = e.GetEventId()
	}
}

func (s *scrubber) message(m protoreflect.Message, at time.Time) {
	if q, ok := m.Interface().(*taskqueue.TaskQueue); ok && q.GetKind() == enums.TASK_QUEUE_KIND_STICKY {
		q.Name = "sticky"
	}
	if d, ok := m.Interface().(*sdk.WorkflowTaskCompletedMetadata); ok {
		slices.Sort(d.LangUsedFlags)
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Name() == "worker_version", f.Name() == "history_size_bytes", f.Name() == "binary_checksum":
			m.Clear(f)
		case f.Name() == "identity":
			m.Set(f, protoreflect.ValueOfString(identity))
		case f.IsMap():
			if f.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
					s.message(v.Message(), at)
					return true
				})
			}
		case f.IsList():
			if f.Message() != nil {
				for i := range v.List().Len() {
					s.message(v.List().Get(i).Message(), at)
				}
			}
		case f.Message() != nil:
			if t, ok := v.Message().Interface().(*timestamppb.Timestamp); ok {
				t.Seconds, t.Nanos = at.Unix(), 0
			} else {
				s.message(v.Message(), at)
			}
		case f.Kind() == protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString(s.text(v.String(), at)))
		case f.Kind() == protoreflect.BytesKind:
			m.Set(f, protoreflect.ValueOfBytes([]byte(s.text(string(v.Bytes()), at))))
		}
		return true
	})
}

// text replaces the random IDs and times in a string.
func (s *scrubber) text(text string, at time.Time) string {
	text = anyUUID.ReplaceAllStringFunc(text, func(id string) string {
		if known, ok := s.uuids[id]; ok {
			return known
		}
		return numbered(0)
	})
	return anyTime.ReplaceAllString(text, at.Format(time.RFC3339))
}
