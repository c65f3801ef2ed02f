package orchestrator

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"meridian/persistence/catalog"
	"meridian/providers"
)

// OrphanView is something in the world with this installation's owner mark that no state knows.
type OrphanView struct {
	providers.Object
	// Adoptable says that its stack is there, so that it can be imported into it.
	Adoptable bool `json:"adoptable"`
}

// OrphanRequest names exactly one orphan.
type OrphanRequest struct {
	ID string
	// Approve is the digest of the import that was shown; see TerraformView.
	Approve string
	Actor   string
}

// Orphans lists what carries our mark and is in no state, and the providers that could not be asked.
func (c *Client) Orphans(ctx context.Context) ([]OrphanView, error) {
	objects, _, away, err := c.inventory(ctx)
	if err != nil {
		return nil, err
	}
	if len(away) > 0 {
		return nil, &Problem{Code: CodeConflict, Title: fmt.Sprintf("provider %s cannot be asked what is there", away[0]), Next: "see the server's log, then try again"}
	}
	states, err := c.knownStates(ctx)
	if err != nil {
		return nil, err
	}
	out := []OrphanView{}
	for _, o := range orphans(objects, states) {
		_, there := states[o.Stack]
		out = append(out, OrphanView{Object: o, Adoptable: there})
	}
	slices.SortFunc(out, func(a, b OrphanView) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

// AdoptOrphan imports an orphan into its stack, as Terraform does with `import`: shown first, done where exactly that is approved.
func (c *Client) AdoptOrphan(ctx context.Context, in OrphanRequest) (TerraformView, error) {
	o, err := c.orphan(ctx, in.ID)
	if err != nil {
		return TerraformView{}, err
	}
	if !o.Adoptable {
		return TerraformView{}, &Problem{
			Code: CodeConflict, Title: "the stack of " + o.ID + " is not there", Detail: "it is marked as " + o.Stack.String(),
			Next: "apply a spec with that region if its database lives (it is taken over then), take its data out by hand, or remove it: meridian orphans remove",
		}
	}
	return c.Terraform(ctx, TerraformRequest{
		Namespace: o.Stack.Namespace, Name: o.Stack.Name, Region: o.Stack.Region, Args: []string{"import", o.Address, o.ImportID},
		Approve: in.Approve, Actor: in.Actor,
	})
}

// RemoveOrphan removes exactly one orphan from the world, with its data. What a state knows by the time it is looked at again is none.
func (c *Client) RemoveOrphan(ctx context.Context, in OrphanRequest) (OrphanView, error) {
	o, err := c.orphan(ctx, in.ID)
	if err != nil {
		return o, err
	}
	if d, err := c.catalog.Incarnation(ctx, o.Stack.Incarnation); err == nil && d.ActiveRun != "" {
		return o, &Problem{Code: CodeConflict, Title: "run " + d.ActiveRun + " works on the database of " + o.ID, Next: "wait for it to end, then look again"}
	} else if err != nil && !isNotFound(err) {
		return o, err
	}
	p, err := c.registry.Provider(o.Provider)
	if err != nil {
		return o, err
	}
	remover, err := providers.As[providers.Remover](p)
	if err != nil {
		return o, &Problem{Code: CodeRefused, Title: "provider " + o.Provider + " removes nothing by itself", Next: "remove " + o.ID + " by its own tools"}
	}
	places, err := c.places(ctx, o.Provider)
	if err != nil {
		return o, err
	}
	err = c.catalog.RecordAudit(ctx, catalog.Audit{
		Actor: in.Actor, Verb: "remove orphan", Subject: o.ID, Detail: o.Detail + ", marked as " + o.Stack.String(), Namespace: o.Stack.Namespace, Name: o.Stack.Name,
	})
	if err != nil {
		return o, fmt.Errorf("what is not audited is not removed: %w", err)
	}
	if err := remover.RemoveObject(ctx, o.Object, places); err != nil {
		c.logger.Warn("remove an orphan", "id", o.ID, "error", err)
		return o, &Problem{Code: CodeConflict, Title: o.ID + " could not be removed", Next: "see the server's log, then try again"}
	}
	return o, nil
}

// orphan finds one by its ID.
func (c *Client) orphan(ctx context.Context, id string) (OrphanView, error) {
	all, err := c.Orphans(ctx)
	if err != nil {
		return OrphanView{}, err
	}
	for _, o := range all {
		if o.ID == id {
			return o, nil
		}
	}
	return OrphanView{}, &Problem{Code: CodeNotFound, Title: fmt.Sprintf("no orphan has the ID %q", id), Next: "see meridian orphans list; what a state knows is none"}
}
