# One RDS instance with PostgreSQL, MySQL or MariaDB, in a network that exists: of its own, or a physical replica of another.

locals {
  product = { postgres = "PostgreSQL", mysql = "MySQL", mariadb = "MariaDB" }[var.engine]
  replica = var.source_arn != null
  tags    = merge(var.tags, { "meridian:owner" = var.owner, Name = var.identifier })
}

# The name carries the family: a group cannot change its family, and the next one is made before this one goes.
resource "aws_db_parameter_group" "this" {
  count = var.parameter_group == null ? 1 : 0

  name        = "${var.identifier}-${replace(var.family, ".", "-")}"
  family      = var.family
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
  description       = "${local.product} from ${each.value}"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = var.port
  to_port           = var.port
  tags              = local.tags
}

resource "aws_db_instance" "this" {
  identifier          = var.identifier
  replicate_source_db = var.source_arn

  engine                      = local.replica ? null : var.engine
  engine_version              = local.replica ? null : var.engine_version
  allow_major_version_upgrade = false
  auto_minor_version_upgrade  = var.maintenance.minor_upgrades
  instance_class              = var.instance_class
  parameter_group_name        = coalesce(var.parameter_group, one(aws_db_parameter_group.this[*].name))

  allocated_storage     = local.replica ? null : var.storage.gib
  max_allocated_storage = var.storage.max_gib > var.storage.gib ? var.storage.max_gib : 0
  storage_type          = var.storage.type
  iops                  = var.storage.iops
  storage_throughput    = var.storage.throughput
  storage_encrypted     = true
  kms_key_id            = var.storage.kms_key

  username            = local.replica ? null : var.admin_user
  password_wo         = local.replica ? null : var.admin_password
  password_wo_version = local.replica ? null : var.admin_password_version

  port                   = var.port
  db_subnet_group_name   = var.network.subnet_group
  vpc_security_group_ids = concat(var.network.security_groups, aws_security_group.this[*].id)
  publicly_accessible    = var.network.public
  ca_cert_identifier     = var.ca
  multi_az               = var.multi_az

  backup_retention_period  = var.backup.retention
  backup_window            = var.backup.window
  copy_tags_to_snapshot    = true
  delete_automated_backups = true
  maintenance_window       = var.maintenance.window
  apply_immediately        = var.maintenance.apply_immediately

  performance_insights_enabled          = var.performance_insights
  performance_insights_retention_period = var.performance_insights ? 7 : null
  enabled_cloudwatch_logs_exports       = var.log_exports

  deletion_protection       = var.deletion_protection
  skip_final_snapshot       = local.replica || !var.final_snapshot
  final_snapshot_identifier = local.replica || !var.final_snapshot ? null : "${var.identifier}-final"

  tags = local.tags

  timeouts {
    create = "3h"
    update = "3h"
    delete = "3h"
  }
}
