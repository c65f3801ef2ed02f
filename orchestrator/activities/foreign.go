package activities

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

// foreign reads the module of a region whose provider has foreign ones, as it was resolved for the revision.
func (a *Activities) foreign(ctx context.Context, w work, in *providers.ModuleInput) error {
	if _, ok := w.provider.(providers.ModuleSourcer); !ok {
		return nil
	}
	ref, err := a.Catalog.RegionPackage(ctx, w.run.Incarnation, w.revision, w.region.Name)
	if err != nil {
		return err
	}
	p, err := a.Catalog.Package(ctx, ref.Digest)
	if err != nil {
		return err
	}
	in.Package = &p
	return nil
}

// values reads what the region takes from other databases.
func (a *Activities) values(ctx context.Context, w work, in *providers.ModuleInput) error {
	refs, ok := w.provider.(providers.InputRefs)
	if !ok {
		return nil
	}
	var err error
	in.Values, err = ReadOutputs(ctx, a.Catalog, a.Journal, refs.InputRefs(*in))
	return err
}

// errNoOutput means that a database does not have what another one wants of it.
var errNoOutput = fmt.Errorf("there is no such output: %w", providers.ErrPermanent)

// ReadOutputs reads outputs of other databases' regions from their newest states, by the String of the reference.
func ReadOutputs(ctx context.Context, c *catalog.Catalog, j *journal.Journal, refs []providers.InputRef) (map[string]any, error) {
	out := map[string]any{}
	for _, ref := range refs {
		if _, read := out[ref.String()]; read {
			continue
		}
		db, err := c.Database(ctx, ref.Namespace, ref.Name)
		if errors.Is(err, catalog.ErrNotFound) {
			return nil, fmt.Errorf("database %s is not here: %w", ref.Dependency, errNoOutput)
		}
		if err != nil {
			return nil, err
		}
		state, err := j.LatestState(ctx, stacks.StackID{Namespace: ref.Namespace, Name: ref.Name, Incarnation: db.Incarnation, Region: ref.Region})
		if errors.Is(err, journal.ErrNotFound) {
			return nil, fmt.Errorf("region %s of %s is not there yet: %w", ref.Region, ref.Dependency, errNoOutput)
		}
		if err != nil {
			return nil, err
		}
		file, err := terraform.ReadState(state.Payload)
		if err != nil {
			return nil, fmt.Errorf("state of %s, region %s: %w", ref.Dependency, ref.Region, err)
		}
		v, ok := file.Outputs[ref.Output]
		switch {
		case slices.Contains(file.SensitiveOutputs, ref.Output):
			return nil, fmt.Errorf("output %s of %s, region %s, is sensitive and is not given to other databases: %w", ref.Output, ref.Dependency, ref.Region, errNoOutput)
		case !ok:
			return nil, fmt.Errorf("region %s of %s has no output %s (it has %s): %w", ref.Region, ref.Dependency, ref.Output, strings.Join(names(file.Outputs), ", "), errNoOutput)
		}
		out[ref.String()] = v
	}
	return out, nil
}

func names(m map[string]any) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// takeSecrets stores the secrets that a region's module made itself.
func (a *Activities) takeSecrets(ctx context.Context, w work, in providers.ModuleInput, state []byte) error {
	maker, ok := w.provider.(providers.SecretOutputs)
	if !ok {
		return nil
	}
	for secret, path := range maker.SecretOutputs(in) {
		name, rest, _ := strings.Cut(path, ".")
		v, ok, err := terraform.SensitiveOutput(state, name)
		if err != nil {
			return err
		}
		for _, step := range strings.FieldsFunc(rest, func(r rune) bool { return r == '.' }) {
			m, isMap := v.(map[string]any)
			if v, ok = m[step]; !isMap {
				ok = false
			}
		}
		text, isText := v.(string)
		if !ok || !isText || text == "" {
			return fmt.Errorf("output %s of %s holds no password: %w", path, w.stack, providers.ErrPermanent)
		}
		if err := a.Catalog.PutSecret(ctx, w.run.Incarnation, secret, text); err != nil {
			return err
		}
	}
	return nil
}

// gate takes one look at a region's own gate, where it has one.
func (a *Activities) gate(ctx context.Context, w work, in providers.ModuleInput) (providers.ReadyStatus, error) {
	ready := providers.ReadyStatus{State: providers.StateReady}
	own, ok := w.provider.(providers.Gate)
	if !ok {
		return ready, nil
	}
	state, err := a.Journal.LatestState(ctx, w.stack)
	if err != nil {
		return ready, fmt.Errorf("state of %s: %w", w.stack, err)
	}
	file, err := terraform.ReadState(state.Payload)
	if err != nil {
		return ready, fmt.Errorf("state of %s: %w", w.stack, err)
	}
	return own.Gate(ctx, providers.EndpointInput{ModuleInput: in, Outputs: file.Outputs})
}

// Resolver fetches foreign modules by executing a runner.
type Resolver struct {
	Site terraform.Site
	// Runner is the path of meridian-runner; Env is added to its environment.
	Runner string
	Env    []string
}
