variable "identifier" {
  description = "The instance's name, and the first part of all other names. Never used again after it is gone."
  type        = string
}

variable "owner" {
  description = "The mark by which everything here is known as this stack's. It never changes."
  type        = string
}

variable "tags" {
  description = "Further tags of everything that is made."
  type        = map(string)
  default     = {}
}

variable "source_arn" {
  description = "The ARN of the instance that this one is a physical replica of; null for one of its own."
  type        = string
  default     = null
}

variable "engine" {
  description = "What runs in it: postgres, mysql or mariadb."
  type        = string
}

variable "engine_version" {
  description = "A major version (\"16\", \"8.4\": AWS chooses the minor one) or an exact one (\"16.8\")."
  type        = string
}

variable "family" {
  description = "The family of parameter groups that the engine's major version has, like postgres16 or mysql8.4."
  type        = string
}

variable "parameters" {
  description = "The engine's parameters that take effect at once."
  type        = map(string)
  default     = {}
}

variable "static_parameters" {
  description = "The engine's parameters that take effect at the next restart."
  type        = map(string)
  default     = {}
}

variable "parameter_group" {
  description = "A parameter group that exists and stays as it is; null makes one of its own."
  type        = string
  default     = null
}

variable "instance_class" {
  description = "The instance's class, like db.m7g.large."
  type        = string
}

variable "storage" {
  description = "The disk: sizes in GiB, throughput in MiB/s, and the ARN of the key that encrypts it."
  type = object({
    gib        = number
    max_gib    = number
    type       = string
    iops       = optional(number)
    throughput = optional(number)
    kms_key    = optional(string)
  })
}

variable "network" {
  description = "Where it is reached: a DB subnet group, and security groups that exist or a VPC in which one is made that lets in IPv4 ranges."
  type = object({
    subnet_group    = string
    security_groups = optional(list(string), [])
    vpc             = optional(string)
    allow           = optional(list(string), [])
    public          = optional(bool, false)
  })
}

variable "port" {
  description = "The port on which it answers."
  type        = number
}

variable "multi_az" {
  description = "Whether a standby in another zone is kept."
  type        = bool
}

variable "backup" {
  description = "How many days backups are kept, and when they are taken (UTC)."
  type = object({
    retention = number
    window    = string
  })
}

variable "maintenance" {
  description = "When AWS may work on it (UTC), whether changes wait for that, and whether minor upgrades are made then."
  type = object({
    window            = string
    apply_immediately = bool
    minor_upgrades    = bool
  })
}

variable "performance_insights" {
  description = "Whether seven days of Performance Insights are kept."
  type        = bool
}

variable "log_exports" {
  description = "The logs that go to CloudWatch."
  type        = list(string)
}

variable "ca" {
  description = "The authority of the server's certificate; null is AWS's own."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Whether AWS refuses to delete it."
  type        = bool
}

variable "final_snapshot" {
  description = "Whether a last snapshot is taken when it is deleted. A replica has none."
  type        = bool
}

variable "admin_user" {
  description = "The administrator's name. A replica has its source's."
  type        = string
  default     = "meridian"
}

variable "admin_password" {
  description = "The administrator's password. It is in no plan and no state. A replica has its source's."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
}

variable "admin_password_version" {
  description = "Counts the changes of the administrator's password: a higher number sets it again."
  type        = number
  default     = 1
}
