package rdsfake_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/smithy-go"

	"meridian/providers/aws/rdsfake"
)

// TestRefusals asks, in the SDK's own words, for what AWS documents as refused.
func TestRefusals(t *testing.T) {
	fake := rdsfake.New()
	t.Cleanup(fake.Close)
	client := rds.New(rds.Options{Region: "eu-central-1", BaseEndpoint: aws.String(fake.URL()), Credentials: credentials.NewStaticCredentialsProvider("AKIA", "secret", "")})
	for _, i := range []rdsfake.Instance{
		{ID: "plain", Status: "available", Backups: 7}, {ID: "managed", Status: "available", Backups: 7, Managed: true}, {ID: "bare", Status: "available"},
		{ID: "new", Status: "creating", Backups: 7}, {ID: "kept", Status: "available", DeletionProtection: true}, {ID: "again", Status: "available"},
	} {
		i.Region = "eu-central-1"
		fake.Put(i)
	}
	for _, c := range []rdsfake.Cluster{
		{ID: "aurora"}, {ID: "aurora-managed", Managed: true}, {ID: "kept-cluster", DeletionProtection: true}, {ID: "full"}, {ID: "writer"}, {ID: "alone"},
	} {
		c.Region, c.Status = "eu-central-1", "available"
		fake.PutCluster(c)
	}
	fake.Put(rdsfake.Instance{ID: "full-1", Region: "eu-central-1", Status: "available", Cluster: "full"})
	writer, other := rdsfake.Cluster{ID: "writer", Region: "eu-central-1"}.ARN(), rdsfake.Cluster{ID: "other", Region: "us-east-1"}.ARN()
	fake.PutGlobal(rdsfake.Global{ID: "of-two", Status: "available", Members: []string{writer, other}})
	create := func(change func(*rds.CreateDBInstanceInput)) func(context.Context) error {
		return func(ctx context.Context) error {
			in := &rds.CreateDBInstanceInput{DBInstanceIdentifier: aws.String("made"), DBInstanceClass: aws.String("db.t4g.medium"), Engine: aws.String("postgres")}
			change(in)
			_, err := client.CreateDBInstance(ctx, in)
			return err
		}
	}
	replicaWith := func(source string, key *string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := client.CreateDBInstanceReadReplica(ctx, &rds.CreateDBInstanceReadReplicaInput{
				DBInstanceIdentifier: aws.String("replica-of-" + source), SourceDBInstanceIdentifier: aws.String(rdsfake.Instance{ID: source, Region: "eu-central-1"}.ARN()), KmsKeyId: key,
			})
			return err
		}
	}
	replica := func(source string) func(context.Context) error { return replicaWith(source, nil) }
	global := func(source string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := client.CreateGlobalCluster(ctx, &rds.CreateGlobalClusterInput{
				GlobalClusterIdentifier: aws.String("g"), SourceDBClusterIdentifier: aws.String("arn:aws:rds:eu-central-1:" + rdsfake.Account + ":cluster:" + source),
			})
			return err
		}
	}
	remove := func(id string, change func(*rds.DeleteDBInstanceInput)) func(context.Context) error {
		return func(ctx context.Context) error {
			in := &rds.DeleteDBInstanceInput{DBInstanceIdentifier: aws.String(id)}
			change(in)
			_, err := client.DeleteDBInstance(ctx, in)
			return err
		}
	}
	cluster := func(change func(*rds.CreateDBClusterInput)) func(context.Context) error {
		return func(ctx context.Context) error {
			in := &rds.CreateDBClusterInput{DBClusterIdentifier: aws.String("member"), Engine: aws.String("aurora-postgresql"), GlobalClusterIdentifier: aws.String("of-two"),
				StorageEncrypted: aws.Bool(true), KmsKeyId: aws.String("arn:aws:kms:eu-central-1:1:key/1")}
			change(in)
			_, err := client.CreateDBCluster(ctx, in)
			return err
		}
	}
	removeCluster := func(id string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := client.DeleteDBCluster(ctx, &rds.DeleteDBClusterInput{DBClusterIdentifier: aws.String(id), SkipFinalSnapshot: aws.Bool(true)})
			return err
		}
	}
	leave := func(arn string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := client.RemoveFromGlobalCluster(ctx, &rds.RemoveFromGlobalClusterInput{GlobalClusterIdentifier: aws.String("of-two"), DbClusterIdentifier: aws.String(arn)})
			return err
		}
	}
	removeGlobal := func(ctx context.Context) error {
		_, err := client.DeleteGlobalCluster(ctx, &rds.DeleteGlobalClusterInput{GlobalClusterIdentifier: aws.String("of-two")})
		return err
	}
	skip := func(in *rds.DeleteDBInstanceInput) { in.SkipFinalSnapshot = aws.Bool(true) }
	snapshot := func(in *rds.DeleteDBInstanceInput) { in.FinalDBSnapshotIdentifier = aws.String("final") }
	for _, c := range []struct {
		name string
		call func(context.Context) error
		code string
	}{
		{"a create", create(func(*rds.CreateDBInstanceInput) {}), ""},
		{"the same name again", create(func(*rds.CreateDBInstanceInput) {}), "DBInstanceAlreadyExists"},
		{"two hyphens in a name", create(func(in *rds.CreateDBInstanceInput) { in.DBInstanceIdentifier = aws.String("a--b") }), "InvalidParameterValue"},
		{"a hyphen at a name's end", create(func(in *rds.CreateDBInstanceInput) { in.DBInstanceIdentifier = aws.String("a-") }), "InvalidParameterValue"},
		{"a password and a managed one", create(func(in *rds.CreateDBInstanceInput) {
			in.DBInstanceIdentifier, in.ManageMasterUserPassword, in.MasterUserPassword = aws.String("both"), aws.Bool(true), aws.String("x")
		}), "InvalidParameterCombination"},
		{"a password that is too long for MySQL", create(func(in *rds.CreateDBInstanceInput) {
			in.DBInstanceIdentifier, in.Engine, in.MasterUserPassword = aws.String("long"), aws.String("mysql"), aws.String(strings.Repeat("x", 42))
		}), "InvalidParameterValue"},
		{"the longest password of MySQL", create(func(in *rds.CreateDBInstanceInput) {
			in.DBInstanceIdentifier, in.Engine, in.MasterUserPassword = aws.String("long"), aws.String("mysql"), aws.String(strings.Repeat("x", 41))
		}), ""},
		{"a replica", replica("plain"), ""},
		{"a key of a replica beside its source", replicaWith("plain", aws.String("arn:aws:kms:eu-central-1:1:key/1")), "InvalidParameterCombination"},
		{"a replica of a managed password", replica("managed"), "InvalidParameterCombination"},
		{"a replica without backups", replica("bare"), "InvalidDBInstanceState"},
		{"a replica of what is being made", replica("new"), "InvalidDBInstanceState"},
		{"a replica of nothing", replica("nothing"), "DBInstanceNotFound"},
		{"a global database", global("aurora"), ""},
		{"a global database with a managed password", global("aurora-managed"), "InvalidParameterCombination"},
		{"a second cluster of a region", cluster(func(*rds.CreateDBClusterInput) {}), "InvalidParameterValue"},
		{"a password of a second cluster", cluster(func(in *rds.CreateDBClusterInput) { in.MasterUserPassword = aws.String("secret-of-nobody") }), "InvalidParameterCombination"},
		{"a managed password of a second cluster", cluster(func(in *rds.CreateDBClusterInput) { in.ManageMasterUserPassword = aws.Bool(true) }), "InvalidParameterCombination"},
		{"a second cluster without a key", cluster(func(in *rds.CreateDBClusterInput) { in.KmsKeyId = nil }), "InvalidParameterCombination"},
		{"a cluster of no global cluster", cluster(func(in *rds.CreateDBClusterInput) { in.GlobalClusterIdentifier = aws.String("nothing") }), "GlobalClusterNotFound"},
		{"a cluster without a password", cluster(func(in *rds.CreateDBClusterInput) { in.GlobalClusterIdentifier = nil }), "InvalidParameterValue"},
		{"a protected cluster", removeCluster("kept-cluster"), "InvalidParameterCombination"},
		{"a cluster with instances", removeCluster("full"), "InvalidDBClusterState"},
		{"a member of a global cluster", removeCluster("writer"), "InvalidDBClusterState"},
		{"the one that writes before the others", leave(writer), "InvalidGlobalClusterState"},
		{"a global cluster with members", removeGlobal, "InvalidGlobalClusterState"},
		{"a member leaves", leave(other), ""},
		{"the last one leaves", leave(writer), ""},
		{"a global cluster without members", removeGlobal, ""},
		{"a cluster", removeCluster("alone"), ""},
		{"a protected one", remove("kept", skip), "InvalidParameterCombination"},
		{"without a word on the snapshot", remove("again", func(*rds.DeleteDBInstanceInput) {}), "InvalidParameterCombination"},
		{"with a snapshot", remove("again", snapshot), ""},
		{"twice", remove("again", snapshot), "InvalidDBInstanceState"},
		{"with a snapshot whose name is taken", remove("plain", snapshot), "DBSnapshotAlreadyExists"},
		{"what is not there", remove("nothing", skip), "DBInstanceNotFound"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.call(t.Context())
			var api smithy.APIError
			switch {
			case c.code == "" && err != nil:
				t.Error(err)
			case c.code != "" && (!errors.As(err, &api) || api.ErrorCode() != c.code && api.ErrorCode() != c.code+"Fault"):
				t.Errorf("%v, want %s", err, c.code)
			}
		})
	}
}
