# One Aurora cluster with PostgreSQL, in a network that exists: of its own, or a member of a global cluster.

locals {
  major     = split(".", var.engine_version)[0]
  secondary = var.global != null && !try(var.global.primary, true)
  tags      = merge(var.tags, { "meridian:owner" = var.owner, Name = var.identifier })
}

# The name carries the family: a group cannot change its family, and the next one is made before this one goes.
resource "aws_rds_cluster_parameter_group" "this" {
  count = var.parameter_group == null ? 1 : 0

  name        = "${var.identifier}-aurora-postgresql${local.major}"
  family      = "aurora-postgresql${local.major}"
  description = "Parameters of ${var.identifier}"
  tags        = local.tags

  dynamic "parameter" {
    for_each = var.parameters
    content {
      name         = parameter.key
      value        = parameter.value
      apply_method = "immediate"
    }
  }

  dynamic "parameter" {
    for_each = var.static_parameters
    content {
      name         = parameter.key
      value        = parameter.value
      apply_method = "pending-reboot"
    }
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "this" {
  count = var.network.vpc == null ? 0 : 1

  name        = var.identifier
  description = "Who may reach ${var.identifier}"
  vpc_id      = var.network.vpc
  tags        = local.tags
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  for_each = var.network.vpc == null ? toset([]) : toset(var.network.allow)

  security_group_id = aws_security_group.this[0].id
  description       = "PostgreSQL from ${each.value}"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = var.port
  to_port           = var.port
  tags              = local.tags
}

# What the clusters of all regions are members of. It is the primary's: it is made before the first cluster, and goes after the last.
resource "aws_rds_global_cluster" "this" {
  count = var.global == null || local.secondary ? 0 : 1

  global_cluster_identifier = var.global.identifier
  engine                    = "aurora-postgresql"
  engine_version            = var.engine_version
  storage_encrypted         = true
  deletion_protection       = var.deletion_protection
  tags                      = local.tags
}

resource "aws_rds_cluster" "this" {
  cluster_identifier        = var.identifier
  global_cluster_identifier = var.global == null ? null : local.secondary ? var.global.identifier : aws_rds_global_cluster.this[0].id

  engine                          = "aurora-postgresql"
  engine_version                  = var.engine_version
  allow_major_version_upgrade     = false
  db_cluster_parameter_group_name = coalesce(var.parameter_group, one(aws_rds_cluster_parameter_group.this[*].name))

  storage_type      = var.storage.type
  storage_encrypted = true
  kms_key_id        = var.storage.kms_key

  master_username            = local.secondary ? null : var.admin_user
  master_password_wo         = local.secondary ? null : var.admin_password
  master_password_wo_version = local.secondary ? null : var.admin_password_version

  port                   = var.port
  db_subnet_group_name   = var.network.subnet_group
  vpc_security_group_ids = concat(var.network.security_groups, aws_security_group.this[*].id)

  backup_retention_period      = var.backup.retention
  preferred_backup_window      = var.backup.window
  copy_tags_to_snapshot        = true
  delete_automated_backups     = true
  preferred_maintenance_window = var.maintenance.window
  apply_immediately            = var.maintenance.apply_immediately

  enabled_cloudwatch_logs_exports = var.log_exports

  deletion_protection       = var.deletion_protection
  skip_final_snapshot       = local.secondary || !var.final_snapshot
  final_snapshot_identifier = local.secondary || !var.final_snapshot ? null : "${var.identifier}-final"

  dynamic "serverlessv2_scaling_configuration" {
    for_each = var.serverless[*]
    content {
      min_capacity = serverlessv2_scaling_configuration.value.min
      max_capacity = serverlessv2_scaling_configuration.value.max
    }
  }

  tags = local.tags

  lifecycle {
    # AWS writes it into a member of a global cluster; to take it away would make the member a database of its own.
    ignore_changes = [replication_source_identifier]
  }

  timeouts {
    create = "3h"
    update = "3h"
    delete = "3h"
  }
}

resource "aws_rds_cluster_instance" "this" {
  for_each = toset([for n in range(var.instances) : tostring(n + 1)])

  identifier         = try(var.members[each.key].identifier, "${var.identifier}-${each.key}")
  cluster_identifier = aws_rds_cluster.this.id
  engine             = "aurora-postgresql"
  instance_class     = var.instance_class
  # The first is the one that writes as long as it can; the others take over in order.
  promotion_tier = try(var.members[each.key].promotion_tier, min(tonumber(each.key) - 1, 15))

  db_subnet_group_name         = var.network.subnet_group
  publicly_accessible          = var.network.public
  ca_cert_identifier           = var.ca
  copy_tags_to_snapshot        = true
  auto_minor_version_upgrade   = var.maintenance.minor_upgrades
  preferred_maintenance_window = var.maintenance.window
  apply_immediately            = var.maintenance.apply_immediately

  performance_insights_enabled          = var.performance_insights
  performance_insights_retention_period = var.performance_insights ? 7 : null

  tags = local.tags

  timeouts {
    create = "3h"
    update = "3h"
    delete = "3h"
  }
}
