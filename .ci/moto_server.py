"""The emulator of AWS that tests start: moto, with what keeps it from behaving as RDS does mended.

Arguments: port (0: any free one) and regions. Prints one line of JSON once it listens: {"port": N, "regions": {REGION: {"vpc", "group", "key"}}}.
Each region has a DB subnet group "databases" in its default VPC, and a KMS key.

What is mended, each because the provider hashicorp/aws hangs or never comes clean without it:
  * every instance has a resource ID of its own;
  * an instance is creating, backing-up and modifying before it is available;
  * a read replica is an instance of its own and no copy of its source's object: own parameter group, tags, networks;
  * parameters of a group have a source, of a cluster's too;
  * Performance Insights are what the request said;
  * a cluster or a global cluster whose name is taken is refused;
  * a cluster has a scaling configuration of version 1 only where its mode is serverless;
  * global clusters are the same in all regions, can be asked for by name and by member, have the tags they were made with, and let go of a member
    in any region; the primary cannot go before the others.
"""

import itertools
import json
import sys
import time

from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.responses import ActionResult
from moto.ec2.models import ec2_backends
from moto.kms.models import kms_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.rds import models, responses
from moto.rds.exceptions import RDSClientError
from werkzeug.serving import make_server

# How long an instance is in each status, in seconds since its birth.
CLOCK = (("creating", 3), ("backing-up", 5), ("modifying", 7))
numbers = itertools.count(1)

original_init = models.DBInstance.__init__


def init(self, backend, *args, **kwargs):
    self.birth = time.monotonic()
    original_init(self, backend, *args, **kwargs)
    self.dbi_resource_id = f"db-MERIDIAN{next(numbers):018d}"
    self.performance_insights_enabled = bool(kwargs.get("enable_performance_insights"))
    self.performance_insights_retention_period = kwargs.get("performance_insights_retention_period")


def get_status(self):
    if self.fixed_status != "available":
        return self.fixed_status
    age = time.monotonic() - self.birth
    return next((status for status, until in CLOCK if age < until), "available")


def set_status(self, value):
    self.fixed_status = value


original_update = models.DBInstance.update


def update(self, **kwargs):
    if "enable_performance_insights" in kwargs:
        self.performance_insights_enabled = bool(kwargs["enable_performance_insights"])
    if "performance_insights_retention_period" in kwargs:
        self.performance_insights_retention_period = kwargs["performance_insights_retention_period"]
    return original_update(self, **kwargs)


def create_replica(self, db_kwargs):
    source = self.find_db_from_id(db_kwargs["source_db_instance_identifier"])
    own = {
        "engine": source.engine,
        "engine_version": source.engine_version,
        "allocated_storage": source.allocated_storage,
        "master_username": source.master_username,
        "port": source.port,
        "storage_encrypted": source.storage_encrypted,
        "storage_type": source.storage_type,
        "db_name": source.db_name,
        "backup_retention_period": 0,
    }
    own.update({k: v for k, v in db_kwargs.items() if v is not None})
    replica = self.create_db_instance(own)
    replica.set_as_replica()
    source.add_replica(replica)
    return replica


def update_parameters(self, new_parameters):
    for new in new_parameters:
        self.parameters[new["ParameterName"]].update({**new, "Source": "user", "IsModifiable": True})


def update_cluster_parameters(self, new_parameters):
    for new in new_parameters:
        self.parameters[new["ParameterName"]].update({**new, "Source": "user", "IsModifiable": True})


original_scaling = models.DBCluster.scaling_configuration_info.fget


def scaling(self):
    return original_scaling(self) if self.engine_mode == "serverless" else None


def describe_global_clusters(self):
    found = self.global_backend.describe_global_clusters()
    name = self.params.get("GlobalClusterIdentifier")
    if name:
        found = [g for g in found if name in (g.global_cluster_identifier, g.arn)]
        if not found:
            raise RDSClientError("GlobalClusterNotFoundFault", f"Global Cluster '{name}' not found.")
    for only in self.params.get("Filters", []):
        found = [g for g in found if ({m.arn for m in g.members} | {m.db_cluster_identifier for m in g.members}) & set(only["Values"])]
    return ActionResult({"GlobalClusters": found})


original_create_global = responses.RDSResponse.create_global_cluster


def create_global_cluster(self):
    name = self.params["GlobalClusterIdentifier"]
    if name in self.global_backend.global_clusters:
        raise RDSClientError("GlobalClusterAlreadyExistsFault", f"Global cluster with id {name} already exists")
    answer = original_create_global(self)
    made = self.global_backend.global_clusters[self.params["GlobalClusterIdentifier"]]
    made.tags = self.params.get("Tags", [])
    return answer


def remove_from_global_cluster(self, global_cluster_identifier, db_cluster_identifier):
    world = models.rds_backends[self.account_id]
    whole = world["us-east-1"].global_clusters.get(global_cluster_identifier)
    if whole is None:
        raise RDSClientError("GlobalClusterNotFoundFault", f"Global Cluster '{global_cluster_identifier}' not found.")
    member = next((m for m in whole.members if db_cluster_identifier in (m.arn, m.db_cluster_identifier)), None)
    if member is None:
        raise RDSClientError("DBClusterNotFoundFault", f"DBCluster {db_cluster_identifier} not found.")
    if member.is_writer and len(whole.members) > 1:
        raise RDSClientError("InvalidGlobalClusterStateFault", f"Global Cluster {whole.arn} has members beside its writer")
    whole.members.remove(member)
    member.global_cluster_identifier = None
    return whole


original_create_cluster = models.RDSBackend.create_db_cluster


def create_db_cluster(self, kwargs):
    if kwargs["db_cluster_identifier"].lower() in self.clusters:
        raise RDSClientError("DBClusterAlreadyExistsFault", "DB Cluster already exists")
    return original_create_cluster(self, kwargs)


original_delete_cluster = models.RDSBackend.delete_db_cluster


def delete_db_cluster(self, cluster_identifier, snapshot_name=None):
    cluster = self.clusters.get(cluster_identifier)
    if cluster is not None and cluster.global_cluster_identifier:
        raise RDSClientError("InvalidDBClusterStateFault", "This cluster is a part of a global cluster, please remove it from globalcluster first")
    return original_delete_cluster(self, cluster_identifier, snapshot_name)


original_tagged = models.RDSBackend._get_resource_for_tagging


def get_resource_for_tagging(self, arn):
    if ":global-cluster:" in arn:
        return models.rds_backends[self.account_id]["us-east-1"].global_clusters.get(arn.split(":")[-1])
    return original_tagged(self, arn)


models.DBInstance.__init__ = init
models.DBInstance.status = property(get_status, set_status)
models.DBInstance.update = update
models.RDSBackend.create_db_instance_read_replica = create_replica
models.DBParameterGroup.update_parameters = update_parameters
models.DBClusterParameterGroup.update_cluster_parameters = update_cluster_parameters
models.DBCluster.scaling_configuration_info = property(scaling)
models.RDSBackend.remove_from_global_cluster = remove_from_global_cluster
models.RDSBackend.create_db_cluster = create_db_cluster
models.RDSBackend.delete_db_cluster = delete_db_cluster
models.RDSBackend._get_resource_for_tagging = get_resource_for_tagging
responses.RDSResponse.describe_global_clusters = describe_global_clusters
responses.RDSResponse.create_global_cluster = create_global_cluster


def furnish(region):
    """What an account has before Meridian comes: a network and a key."""
    ec2 = ec2_backends[DEFAULT_ACCOUNT_ID][region]
    vpc = ec2.default_vpc
    subnets = [s.id for s in ec2.get_default_subnets().values()]
    models.rds_backends[DEFAULT_ACCOUNT_ID][region].create_subnet_group("databases", "for tests", [ec2.get_subnet(s) for s in subnets], [])
    key = kms_backends[DEFAULT_ACCOUNT_ID][region].create_key(None, "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", "for tests", [])
    return {"vpc": vpc.id, "group": ec2.get_default_security_group(vpc.id).id, "key": key.arn}


server = make_server("127.0.0.1", int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=True)
print(json.dumps({"port": server.port, "regions": {r: furnish(r) for r in sys.argv[2:]}}), flush=True)
server.serve_forever()
