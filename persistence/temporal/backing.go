package temporal

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/gocql/gocql"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/temporal"
)

// Names of the server's data stores.
const (
	storeName      = "state"
	visibilityName = "lists"
)

// part is one place that holds some of the server's state.
type part interface {
	// dataStore is the server's configuration of it.
	dataStore() config.DataStore
	// options are the server's further options that it needs.
	options() []temporal.ServerOption
	// close gives it back.
	close()
}

// backing is where the server's state is: state holds workflows, lists what can be searched of them. They may be one.
type backing struct {
	state, lists part
	// file is the SQLite file among them, nil without one.
	file   *storeFile
	shards int
	// sole keeps a second server away from a store that several machines reach; nil where the file's lock does.
	sole *sole
}

// Shards where the settings say nothing. The number is fixed when a store is set up.
const (
	postgresShards  = 16
	cassandraShards = 512
)

// openBacking checks and opens what the settings name. What is empty is set up; what is older, newer or foreign is refused.
func openBacking(ctx context.Context, o Options) (_ *backing, err error) {
	if faults := o.Settings.Check(); len(faults) > 0 {
		return nil, faults[0]
	}
	b := &backing{shards: o.Settings.Shards}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	targets := targetsOf(&o.Settings)
	if places := placesOf(&o.Settings); len(places) > 0 {
		if err := prepareAll(ctx, places, o.Logger); err != nil {
			return nil, err
		}
	}
	switch o.Settings.store() {
	case StoreSQLite:
		if b.file, err = openStore(ctx, o.Dir, o.Logger); err != nil {
			return nil, err
		}
		b.state, b.lists, b.shards = b.file, b.file, 1
		return b, nil
	case StorePostgres:
		b.state = newPostgresPart(o.Settings.Postgres, stateSchema)
		b.shards = orElse(b.shards, postgresShards)
	default:
		if b.state, err = openCassandraPart(ctx, &o.Settings, o.Logger); err != nil {
			return nil, err
		}
		b.shards = orElse(b.shards, cassandraShards)
	}
	if err := b.openLists(ctx, o); err != nil {
		return nil, err
	}
	if b.sole, err = takeSole(ctx, targets[0].(claimer).claim(o), targets[0].where()); err != nil {
		return nil, err
	}
	return b, nil
}

// claimer is a target that several machines reach.
type claimer interface {
	// claim is the claim of a server on it.
	claim(o Options) claim
}

// targetsOf lists the schemas that settings name.
func targetsOf(s *Settings) (out []target) {
	switch s.store() {
	case StorePostgres:
		out = append(out, postgresTarget{newPostgresPart(s.Postgres, stateSchema), false})
	case StoreCassandra:
		out = append(out, newCassandraTarget(s.Cassandra))
	case StoreAstra:
		out = append(out, newAstraTarget(s.Astra))
	}
	switch v := s.Visibility; {
	case v == nil && s.Postgres != nil:
		out = append(out, postgresTarget{newPostgresPart(s.Postgres.forLists(), listsSchema), true})
	case v != nil && v.Postgres != nil:
		out = append(out, postgresTarget{newPostgresPart(v.Postgres.forLists(), listsSchema), true})
	}
	return out
}

// openLists opens where Temporal's lists of workflows are.
func (b *backing) openLists(ctx context.Context, o Options) (err error) {
	v := o.Settings.Visibility
	switch {
	case v == nil && o.Settings.Postgres != nil:
		b.lists = newPostgresPart(o.Settings.Postgres.forLists(), listsSchema)
	case v != nil && v.Postgres != nil:
		b.lists = newPostgresPart(v.Postgres.forLists(), listsSchema)
	case v != nil && v.Elasticsearch != nil:
		b.lists, err = newElasticPart(ctx, v.Elasticsearch)
	default:
		if b.file, err = openStore(ctx, o.Dir, o.Logger); err == nil {
			b.lists = b.file
		}
	}
	return err
}

func orElse(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// persistence is the server's configuration of all of it.
func (b *backing) persistence() config.Persistence {
	p := config.Persistence{
		DefaultStore: storeName, VisibilityStore: storeName, NumHistoryShards: int32(b.shards), // at most 16384
		DataStores: map[string]config.DataStore{storeName: b.state.dataStore()},
	}
	if b.lists != b.state {
		p.VisibilityStore = visibilityName
		p.DataStores[visibilityName] = b.lists.dataStore()
	}
	return p
}

func (b *backing) options() []temporal.ServerOption {
	out := b.state.options()
	if b.lists != b.state {
		out = append(out, b.lists.options()...)
	}
	return out
}

// close gives everything back.
func (b *backing) close() {
	if b.sole != nil {
		b.sole.release()
	}
	for _, p := range []part{b.state, b.lists} {
		if p != nil && p != part(b.file) {
			p.close()
		}
	}
	if b.file != nil {
		b.file.close()
	}
}

// prepareAll sets empty places up and refuses those that the server could not use.
func prepareAll(ctx context.Context, places []schemaPlace, log *slog.Logger) error {
	gocql.Logger = driverLog{log} // a session takes the one that is there when it is made
	for _, t := range places {
		if err := prepare(ctx, t, log); err != nil {
			return fmt.Errorf("temporal's %s in %s: %w", t.what(), t.where(), err)
		}
	}
	return nil
}

func prepare(ctx context.Context, t schemaPlace, log *slog.Logger) error {
	db, err := t.connect(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	s, err := db.examine(ctx)
	if err != nil {
		return err
	}
	if s.State != StateAbsent && s.State != StatePartial {
		return s.usable()
	}
	log.Info("setting up temporal's schema", "for", t.what(), "in", t.where(), "version", s.Want)
	return db.bring(ctx, newToolLogger(log))
}
