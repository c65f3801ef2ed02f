package catalog

import (
	"context"
	"fmt"
	"strings"
)

// DatabaseFilter says which living databases are wanted. Its zero value is all of them.
type DatabaseFilter struct {
	// Namespace is where they are; all where empty.
	Namespace string
	// Search is a part of their name.
	Search string
	// AfterNamespace and AfterName are of the last one of the page before.
	AfterNamespace, AfterName string
	// Limit is how many at most; 0 is all.
	Limit int
}

// likeLiteral takes the meaning from what LIKE would take for more than itself.
var likeLiteral = strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`)

// FindDatabases lists living databases by namespace and name.
func (c *Catalog) FindDatabases(ctx context.Context, f DatabaseFilter) (out []Database, err error) {
	q, args := "SELECT "+databaseColumns+" FROM databases WHERE destroyed_at IS NULL", []any(nil)
	if f.Namespace != "" {
		q, args = q+" AND namespace = ?", append(args, f.Namespace)
	}
	if f.Search != "" {
		q, args = q+` AND name LIKE ? ESCAPE '\'`, append(args, "%"+likeLiteral.Replace(f.Search)+"%")
	}
	if f.AfterNamespace != "" || f.AfterName != "" {
		q, args = q+" AND (namespace, name) > (?, ?)", append(args, f.AfterNamespace, f.AfterName)
	}
	q += " ORDER BY namespace, name"
	if f.Limit > 0 {
		q, args = q+" LIMIT ?", append(args, f.Limit)
	}
	out, err = collect(ctx, c.st, scanDatabase, q, args...)
	if err != nil {
		return nil, fmt.Errorf("list databases: %w", err)
	}
	return out, nil
}
