package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/peterbourgon/ff/v3"
)

// The errors of package flag quote the value, which may be a secret that was given to the wrong
// flag or variable. No error here quotes a value: each names the flag, and says what it takes.

// checked is a flag's value that notes that it was refused, and does not tell package flag.
type checked struct {
	flag.Value // nil in the zero value, which package flag makes to find defaults
	note       func()
}

func (c checked) Set(text string) error {
	if c.Value.Set(text) != nil {
		c.note()
	}
	return nil
}

func (c checked) String() string {
	if c.Value == nil {
		return ""
	}
	return c.Value.String()
}

func (c checked) IsBoolFlag() bool {
	b, ok := c.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// parseFlags reads the flags, and the variables of those that are not given.
func parseFlags(fs *flag.FlagSet, args []string, usage io.Writer) error {
	var refused []string
	kinds := make(map[string]string)
	fs.VisitAll(func(f *flag.Flag) {
		kinds[f.Name] = kindOf(f.Value)
		f.Value = checked{f.Value, func() { refused = append(refused, fmt.Sprintf("%s must be %s", named(f.Name), kinds[f.Name])) }}
	})
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	err := ff.Parse(fs, args, ff.WithEnvVarPrefix(variablePrefix))
	switch {
	case errors.Is(err, flag.ErrHelp):
		printUsage(usage, fs)
		return err
	case err != nil:
		return errors.New(withoutValue(err, fs) + "; see --help")
	case len(refused) > 0:
		return errors.New(strings.Join(refused, "; "))
	case fs.NArg() > 0:
		return fmt.Errorf("%d unexpected arguments after the flags: all settings are flags, see --help", fs.NArg())
	}
	return nil
}

const variablePrefix = "LEASED"

// variable is the environment variable of a flag.
func variable(name string) string {
	return variablePrefix + "_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// named names a flag in an error, however it was given.
func named(name string) string { return "--" + name + " (or " + variable(name) + ")" }

// kindOf says what a flag takes.
func kindOf(v flag.Value) string {
	getter, ok := v.(flag.Getter)
	if !ok {
		return "another value"
	}
	switch fmt.Sprintf("%T", getter.Get()) {
	case "bool":
		return "true or false"
	case "time.Duration":
		return "a duration such as 4s or 1h30m"
	case "float64":
		return "a number"
	case "int", "int64":
		return "a whole number"
	default:
		return "a text"
	}
}

// withoutValue is what is wrong with the arguments, without what was given but for the names of
// flags.
func withoutValue(err error, fs *flag.FlagSet) string {
	for ; errors.Unwrap(err) != nil; err = errors.Unwrap(err) {
	}
	if m := regexp.MustCompile(`^flag (needs an argument|provided but not defined): -([a-z][a-z-]{0,23})$`).FindStringSubmatch(err.Error()); m != nil {
		if fs.Lookup(m[2]) != nil {
			return named(m[2]) + " needs a value"
		}
		return "there is no flag --" + m[2]
	}
	return "an argument is not one of the flags"
}

func printUsage(to io.Writer, fs *flag.FlagSet) {
	io.WriteString(to, usageBegin)
	fs.VisitAll(func(f *flag.Flag) {
		kind, text := flag.UnquoteUsage(f)
		if f.Value.(checked).IsBoolFlag() {
			kind = ""
		}
		fmt.Fprintf(to, "  --%s\n      %s", strings.TrimSpace(f.Name+" "+kind), text)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "0s" {
			fmt.Fprintf(to, " (default %s)", f.DefValue)
		}
		fmt.Fprintln(to)
	})
	io.WriteString(to, usageEnd)
}
