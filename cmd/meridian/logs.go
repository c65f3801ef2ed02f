package main

import (
	"log/slog"

	"github.com/spf13/cobra"
)

// logFlags say how a process that runs for long logs.
type logFlags struct {
	logLevel  string
	logFormat string
}

func (f *logFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.logLevel, "log-level", "info", "log level: debug, info, warn or error")
	c.Flags().StringVar(&f.logFormat, "log-format", "text", "log format: text or json")
}

func (f *logFlags) logger(a *app) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return nil, usage("unknown log level %q: want debug, info, warn or error", f.logLevel)
	}
	o := &slog.HandlerOptions{Level: level}
	switch f.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(a.stderr, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(a.stderr, o)), nil
	}
	return nil, usage("unknown log format %q: want text or json", f.logFormat)
}
