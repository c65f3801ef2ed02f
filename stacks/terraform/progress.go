package terraform

import (
	"time"

	"meridian/stacks"
)

// Progress follows the events of one plan or apply. Its zero value is ready.
type Progress struct {
	// Resource is what terraform works on: the last that started and has not ended; in a plan, what is being read.
	Resource string
	// Done counts the resources that are finished; Total is how many will change, 0 while not known.
	Done, Total int
	// Started is when Resource was started, by terraform's clock.
	Started time.Time

	running []startedResource
	// left counts, for each planned resource, the operations to come: a replacement is two.
	left map[string]int
}

type startedResource struct {
	address string
	at      time.Time
}

// Observe moves the progress by one event.
func (p *Progress) Observe(e StreamEvent) {
	switch e.Type {
	case EventPlannedChange:
		p.plan(e)
	case EventApplyStart, EventRefreshStart:
		p.end(e.Address)
		p.running = append(p.running, startedResource{e.Address, e.Time})
	case EventApplyComplete:
		p.end(e.Address)
		if n, planned := p.left[e.Address]; !planned || n == 1 {
			p.Done++
		}
		if p.left[e.Address] > 0 {
			p.left[e.Address]--
		}
	case EventApplyErrored, EventRefreshComplete:
		p.end(e.Address)
	}
	p.Total = max(p.Total, p.Done)
	p.Resource, p.Started = "", time.Time{}
	if n := len(p.running); n > 0 {
		p.Resource, p.Started = p.running[n-1].address, p.running[n-1].at
	}
}

func (p *Progress) plan(e StreamEvent) {
	operations := 0
	switch e.Action {
	case stacks.ActionCreate, stacks.ActionRead, stacks.ActionUpdate, stacks.ActionDelete:
		operations = 1
	case stacks.ActionReplace:
		operations = 2
	}
	if operations == 0 {
		return
	}
	if p.left == nil {
		p.left = map[string]int{}
	}
	if p.left[e.Address] == 0 {
		p.Total++
	}
	p.left[e.Address] += operations
}

func (p *Progress) end(address string) {
	for i, r := range p.running {
		if r.address == address {
			p.running = append(p.running[:i], p.running[i+1:]...)
			return
		}
	}
}
