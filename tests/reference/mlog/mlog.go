// Package mlog stands in for the logging library of the reference, whose module no registry here serves.
// It has what the webhook calls, and writes plain lines to standard error.
package mlog

import (
	"context"
	"fmt"
	"os"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
)

// LogLevel is how much is logged.
type LogLevel string

// LogFormat is how it is written.
type LogFormat string

const (
	LevelWarning LogLevel = ""
	LevelInfo    LogLevel = "info"
	LevelDebug   LogLevel = "debug"
	LevelTrace   LogLevel = "trace"
	LevelAll     LogLevel = "all"

	FormatJSON LogFormat = "json"
)

// LogSpec is what a program wants of its log.
type LogSpec struct {
	Level  LogLevel
	Format LogFormat
}

// Logger writes lines.
type Logger struct{ to logr.Logger }

// Logr is the logger that controller-runtime takes.
func Logr() logr.Logger {
	return funcr.New(func(prefix, args string) { fmt.Fprintln(os.Stderr, prefix, args) }, funcr.Options{})
}

// New makes a logger.
func New() Logger { return Logger{Logr()} }

func (l Logger) WithName(name string) Logger                { return Logger{l.to.WithName(name)} }
func (l Logger) WithValues(pairs ...any) Logger             { return Logger{l.to.WithValues(pairs...)} }
func (l Logger) Info(text string, pairs ...any)             { l.to.Info(text, pairs...) }
func (l Logger) Debug(text string, pairs ...any)            { l.to.Info(text, pairs...) }
func (l Logger) Trace(text string, pairs ...any)            { l.to.Info(text, pairs...) }
func (l Logger) Always(text string, pairs ...any)           { l.to.Info(text, pairs...) }
func (l Logger) Warning(text string, pairs ...any)          { l.to.Info(text, pairs...) }
func (l Logger) Error(text string, err error, pairs ...any) { l.to.Error(err, text, pairs...) }

// Fatal ends the program.
func Fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// Setup has nothing to set up.
func Setup() func() { return func() {} }

// ValidateAndSetLogLevelAndFormatGlobally takes every level.
func ValidateAndSetLogLevelAndFormatGlobally(context.Context, LogSpec) error { return nil }

// Enabled says whether lines of that level are written.
func Enabled(level LogLevel) bool { return level == LevelWarning || level == LevelInfo }
