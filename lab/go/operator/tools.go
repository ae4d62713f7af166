//go:build tools

// Package operator pins the spark-operator's program, which is built by its import path.
package operator

import _ "github.com/kubeflow/spark-operator/v2/cmd/operator"
