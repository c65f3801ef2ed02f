package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"meridian/persistence/catalog"
	"meridian/persistence/journal"
	"meridian/providers"
	"meridian/stacks"
	"meridian/stacks/terraform"
)

// Import takes a database that is there already under control: each region is looked at, its password is proven by a login, and a run is
// submitted whose plan imports it. That plan is always asked about, and refused where it would change more than it may.
func (c *Client) Import(ctx context.Context, in ImportRequest) (SubmitResult, error) {
	prepared, warnings, err := c.prepare(ctx, SubmitRequest{Documents: in.Documents, Namespace: in.Namespace})
	if err != nil {
		return SubmitResult{}, err
	}
	if len(prepared) != 1 {
		return SubmitResult{}, &Problem{Code: CodeInvalidSpec, Title: fmt.Sprintf("an import takes one database, not %d", len(prepared)), Next: "import one after the other"}
	}
	s := prepared[0]
	if err := c.importable(ctx, s.effective, in.From); err != nil {
		return SubmitResult{}, err
	}
	var regions []catalog.ImportRegion
	for _, from := range in.From {
		found, err := c.look(ctx, s.effective, from)
		if err != nil {
			return SubmitResult{}, err
		}
		found.Placement.Takeover.Change = in.Change
		regions = append(regions, catalog.ImportRegion{Region: from.Region, Placement: found.Placement, Secret: found.Endpoint.Secret, Password: from.Password})
		if found.Managed != "" {
			warnings = append(warnings, stacks.Diagnostic{
				Severity: stacks.SeverityWarning, Rule: "import.managed", Field: "region " + from.Region,
				Summary: "another Terraform state still has " + found.Managed,
				Next:    "once the import is done, take it out of there: terraform state rm '" + found.Managed + "'",
			})
		}
	}
	run, err := c.catalog.Import(ctx, catalog.SubmitInput{
		Effective: s.effective, Source: s.loaded.Text, Actor: in.Actor, Kind: stacks.RunApply, ExpectRevision: s.expect,
	}, regions)
	if err != nil {
		return SubmitResult{}, c.problem(err, "database "+s.effective.Metadata.Namespace+"/"+s.effective.Metadata.Name)
	}
	c.wake(ctx, run)
	view, err := c.view(ctx, run)
	return SubmitResult{Runs: []RunView{view}, Warnings: warnings}, err
}

// importable refuses an import that does not name each region once, and one of regions that Meridian has already.
func (c *Client) importable(ctx context.Context, db stacks.Database, from []ImportFrom) error {
	refuse := func(next, format string, args ...any) error {
		return &Problem{Code: CodeRefused, Title: fmt.Sprintf(format, args...), Next: next}
	}
	var named []string
	for _, f := range from {
		if _, ok := db.Region(f.Region); !ok {
			return refuse("name a region of the spec", "the spec has no region %q", f.Region)
		}
		if slices.Contains(named, f.Region) {
			return refuse("name it once", "region %s is named twice", f.Region)
		}
		if (f.ID == "") == (f.State == "") {
			return refuse("give its ID or a state", "nothing, or both an ID and a state, says what becomes region %s", f.Region)
		}
		named = append(named, f.Region)
	}
	for _, r := range db.Spec.Regions {
		if !slices.Contains(named, r.Name) {
			return refuse("import it too, or leave it out of the spec and add it with an apply afterwards", "nothing says what becomes region %s", r.Name)
		}
	}
	if len(db.Spec.Users)+len(db.Spec.Databases) > 0 {
		return refuse("leave them out now and list them with an apply afterwards, which gives each user a password of Meridian's",
			"an import leaves what is inside of a database as it is, and the spec lists databases or users")
	}
	known, err := c.catalog.Database(ctx, db.Metadata.Namespace, db.Metadata.Name)
	if errors.Is(err, catalog.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	heads, err := c.journal.Heads(ctx, known.Incarnation)
	if err != nil {
		return err
	}
	for _, h := range heads { // of an import that was refused: they are empty
		state, err := c.journal.LatestState(ctx, h.Stack)
		if err != nil && !errors.Is(err, journal.ErrNotFound) {
			return err
		}
		file, err := terraform.ReadState(state.Payload)
		if err != nil || len(file.Resources) > 0 {
			return refuse("import under another name, or destroy it first", "%s/%s is Meridian's already: region %s has a state", known.Namespace, known.Name, h.Stack.Region)
		}
	}
	return nil
}

// look asks a region's provider what is there, and proves the password.
func (c *Client) look(ctx context.Context, db stacks.Database, from ImportFrom) (providers.Imported, error) {
	var out providers.Imported
	region, _ := db.Region(from.Region)
	p, err := c.registry.Provider(region.Provider)
	if err != nil {
		return out, err
	}
	importer, err := providers.As[providers.Importer](p)
	if err != nil {
		return out, &Problem{Code: CodeRefused, Title: "provider " + region.Provider + " cannot import", Next: "see docs/providers.md"}
	}
	meta, incarnation := db.Metadata, "unsaved"
	if known, err := c.catalog.Database(ctx, meta.Namespace, meta.Name); err == nil {
		incarnation = known.Incarnation
	}
	in := providers.ImportInput{ID: from.ID, ModuleInput: providers.ModuleInput{
		Stack:    stacks.StackID{Namespace: meta.Namespace, Name: meta.Name, Incarnation: incarnation, Region: region.Name},
		Database: db, Region: region,
	}}
	if from.State != "" {
		if in.Objects, err = foreignObjects(from.State); err != nil {
			return out, &Problem{Code: CodeRefused, Title: "the state for region " + region.Name + " cannot be read", Detail: err.Error(), Next: "give a Terraform state: terraform state pull > FILE"}
		}
	}
	if out, err = importer.Import(ctx, in); err != nil {
		if errors.Is(err, providers.ErrPermanent) || errors.Is(err, providers.ErrForeign) {
			return out, &Problem{Code: CodeRefused, Title: "region " + region.Name + " cannot be imported", Detail: err.Error(), Next: "mend what it says, then import again"}
		}
		c.logger.Warn("look at what is to be imported", "region", region.Name, "error", err)
		return out, &Problem{Code: CodeConflict, Title: "what is to become region " + region.Name + " cannot be looked at", Next: "see the server's log, then try again"}
	}
	if out.Endpoint.Secret == "" {
		return out, nil
	}
	return out, c.login(ctx, db, region.Name, out.Endpoint, from.Password)
}

// login proves a password by a query: a wrong one would be found only after everything else was done.
func (c *Client) login(ctx context.Context, db stacks.Database, region string, at stacks.Endpoint, password string) error {
	if password == "" {
		return &Problem{Code: CodeRefused, Title: fmt.Sprintf("region %s needs the password of its administrator %s", region, at.User), Next: "give it: --password " + region + "=FILE"}
	}
	engine, err := c.registry.Engine(db.Spec.Engine.Name)
	if err != nil {
		return err
	}
	prober, err := providers.As[providers.Prober](engine)
	if err != nil {
		return err
	}
	if err := prober.Probe(ctx, providers.Target{Region: region, Endpoint: at, Password: password}); err != nil {
		return &Problem{
			Code: CodeRefused, Title: fmt.Sprintf("nobody can log in to region %s as %s", region, at.User), Detail: strings.ReplaceAll(err.Error(), password, "****"),
			Next: "give its password and make the database reachable from here; nothing was changed",
		}
	}
	return nil
}

// foreignObjects reads the managed objects of somebody else's state; sensitive values stay out.
func foreignObjects(text string) ([]providers.StateObject, error) {
	shown, err := terraform.ShowState([]byte(text))
	if err != nil {
		return nil, err
	}
	var out []providers.StateObject
	for _, o := range shown {
		if o.Mode != "managed" || o.Deposed != "" {
			continue
		}
		object := providers.StateObject{Address: o.Address, Type: o.Type, Attributes: map[string]string{}}
		for _, a := range o.Attributes {
			object.Attributes[a.Path] = a.After
		}
		out = append(out, object)
	}
	return out, nil
}
