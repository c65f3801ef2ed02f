variable "identifier" {
  description = "The cluster's name, and the first part of all other names but the global cluster's. Never used again after it is gone."
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

variable "global" {
  description = "The global cluster that this one is a member of, and whether it is the primary, which makes it; null for one of its own."
  type = object({
    identifier = string
    primary    = bool
  })
  default = null
}

variable "engine_version" {
  description = "A major version (\"16\": AWS chooses the minor one) or an exact one (\"16.8\")."
  type        = string
}

variable "parameters" {
  description = "PostgreSQL's parameters that take effect at once."
  type        = map(string)
  default     = {}
}

variable "static_parameters" {
  description = "PostgreSQL's parameters that take effect at the next restart."
  type        = map(string)
  default     = {}
}

variable "parameter_group" {
  description = "A cluster parameter group that exists and stays as it is; null makes one of its own."
  type        = string
  default     = null
}

variable "instances" {
  description = "How many instances the cluster has."
  type        = number
}

variable "members" {
  description = "Instances that were there before the cluster was imported, by number: their names, and in which order they take over."
  type = map(object({
    identifier     = string
    promotion_tier = number
  }))
  default = {}
}

variable "instance_class" {
  description = "The instances' class, like db.r7g.large, or db.serverless."
  type        = string
}

variable "serverless" {
  description = "The least and the most capacity of each instance of class db.serverless, in ACUs."
  type = object({
    min = number
    max = number
  })
  default = null
}

variable "storage" {
  description = "The storage's type (null is AWS's own: input and output are paid), and the ARN of the key that encrypts it."
  type = object({
    type    = optional(string)
    kms_key = optional(string)
  })
  default = {}
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
  default     = 5432
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
  description = "The authority of the servers' certificates; null is AWS's own."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Whether AWS refuses to delete it."
  type        = bool
}

variable "final_snapshot" {
  description = "Whether a last snapshot is taken when it is deleted. A member of a global cluster that only reads has none."
  type        = bool
}

variable "admin_user" {
  description = "The administrator's name. A member of a global cluster that only reads has its primary's."
  type        = string
  default     = "meridian"
}

variable "admin_password" {
  description = "The administrator's password. It is in no plan and no state. A member of a global cluster that only reads has its primary's."
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
