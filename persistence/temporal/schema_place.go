package temporal

import "context"

// schemaPlace is where one of Temporal's schemas is: a target whose schema is made of versioned statements, or an index of a search engine.
type schemaPlace interface {
	// what is in it: "state" or "lists".
	what() string
	// where it is, without any secret.
	where() string
	// connect connects, and checks what can be checked before the schema is looked at.
	connect(ctx context.Context) (opened, error)
}

// opened is a connection to a place.
type opened interface {
	// examine looks at the schema and changes nothing.
	examine(ctx context.Context) (SchemaState, error)
	// safe says why the schema must not be changed now, nil where it may.
	safe(ctx context.Context) error
	// bring sets the schema up or upgrades it, from whatever state it was left in.
	bring(ctx context.Context, log toolLogger) error
	// findings are what a preflight says of the place beside its schema.
	findings(ctx context.Context, shards int) []Finding
	Close()
}

// placesOf lists the places that settings name.
func placesOf(s *Settings) (out []schemaPlace) {
	for _, t := range targetsOf(s) {
		out = append(out, versioned{t})
	}
	if v := s.Visibility; v != nil && v.Elasticsearch != nil {
		out = append(out, &elasticPlace{v.Elasticsearch})
	}
	return out
}

// versioned is a target as a place.
type versioned struct{ target }

func (v versioned) connect(ctx context.Context) (opened, error) {
	db, err := v.open(ctx)
	if err != nil {
		return nil, err
	}
	return &versionedSchema{db, v.target}, nil
}

type versionedSchema struct {
	schemaDB
	t target
}

func (s *versionedSchema) examine(ctx context.Context) (SchemaState, error) {
	return examineSchema(ctx, s.t, s.schemaDB)
}

func (s *versionedSchema) bring(ctx context.Context, log toolLogger) error {
	return bring(ctx, s.t, s.schemaDB, log)
}

func (s *versionedSchema) findings(ctx context.Context, shards int) []Finding {
	return storeFindings(ctx, s.t, s.schemaDB, shards)
}
