package orchestrator

import (
	"context"
	"fmt"
	"time"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/persistence/store"
)

// SiteView is one site: a kernel with one work directory and one lock directory.
type SiteView struct {
	ID   string `json:"id"`
	Host string `json:"host"`
	// Since is when its present boot was first seen, Seen the newest sign of life of an attempt there.
	Since time.Time `json:"since"`
	Seen  time.Time `json:"seen,omitzero"`
	// Running are the stacks whose head says that it works on them.
	Running []string  `json:"running,omitempty"`
	DeadAt  time.Time `json:"deadAt,omitzero"`
	DeadBy  string    `json:"deadBy,omitempty"`
}

// Sites lists the sites that have worked with this store.
func (c *Client) Sites(ctx context.Context) ([]SiteView, error) {
	sites, err := c.journal.Sites(ctx)
	if err != nil {
		return nil, err
	}
	heads, err := c.journal.Heads(ctx, "")
	if err != nil {
		return nil, err
	}
	out := make([]SiteView, 0, len(sites))
	for _, s := range sites {
		out = append(out, siteView(s, heads))
	}
	return out, nil
}

func siteView(s journal.Site, heads []journal.Head) SiteView {
	v := SiteView{ID: s.ID, Host: s.Host, Since: s.Since, DeadAt: s.DeadAt, DeadBy: s.DeadBy}
	for _, h := range heads {
		if h.Site != s.ID {
			continue
		}
		if h.BeatAt.After(v.Seen) {
			v.Seen = h.BeatAt
		}
		if h.Status == journal.HeadRunning {
			v.Running = append(v.Running, h.Stack.String())
		}
	}
	return v
}

// DeclareSiteDead records that actor answers for it that nothing of Meridian's runs on a site any more, so that others take its stacks over
// at once; audited.
func (c *Client) DeclareSiteDead(ctx context.Context, id, actor string) (SiteView, error) {
	heads, err := c.journal.Heads(ctx, "")
	if err != nil {
		return SiteView{}, err
	}
	var v SiteView
	err = c.catalog.Store().Write(ctx, func(tx *store.Tx) error {
		s, err := c.journal.DeclareDead(ctx, tx, id, actor)
		if err != nil {
			return err
		}
		v = siteView(s, heads)
		return c.catalog.RecordAuditIn(tx, catalog.Audit{Actor: actor, Verb: "declare dead", Subject: "site " + id, Detail: fmt.Sprintf("host %s, %d stacks", s.Host, len(v.Running))})
	})
	if isNotFound(err) {
		return v, &Problem{Code: CodeNotFound, Title: "no site " + id, Next: "see meridian site list"}
	}
	return v, err
}
