package temporal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/gocql/gocql"
	"go.temporal.io/server/api/persistence/v1"
	"google.golang.org/protobuf/proto"
)

// shardCounter is a schema in which the server keeps its number of shards, which is fixed by its first start.
type shardCounter interface {
	// shards is that number, 0 before the first start.
	shards(ctx context.Context) (int, error)
}

var (
	_ shardCounter = (*postgresSchema)(nil)
	_ shardCounter = (*cassandraSchema)(nil)
)

func (s *postgresSchema) shards(ctx context.Context) (int, error) {
	var data []byte
	err := s.db.QueryRowContext(ctx, "SELECT data FROM cluster_metadata_info WHERE metadata_partition = 0 AND cluster_name = $1", clusterName).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return readShards(data, err)
}

func (s *cassandraSchema) shards(ctx context.Context) (int, error) {
	var data []byte
	err := s.inside.Query("SELECT data FROM cluster_metadata_info WHERE metadata_partition = 0 AND cluster_name = ?", clusterName).WithContext(ctx).Scan(&data)
	if errors.Is(err, gocql.ErrNotFound) {
		return 0, nil
	}
	return readShards(data, err)
}

// readShards reads what the server writes about itself.
func readShards(data []byte, err error) (int, error) {
	var c persistence.ClusterMetadata
	if err == nil {
		err = proto.Unmarshal(data, &c)
	}
	if err != nil {
		return 0, fmt.Errorf("read the store's number of shards: %w", err)
	}
	return int(c.GetHistoryShardCount()), nil
}
