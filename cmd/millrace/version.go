package main

import (
	"cmp"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

type versionInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Built    string `json:"commit_time,omitempty"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersionCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this binary",
		Example: `  millrace version
  millrace version --format json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := buildVersion()
			t := newTable("VERSION", "COMMIT", "GO", "PLATFORM")
			t.row(v.Version, v.Commit, v.Go, v.Platform)
			return s.print(cmd, v, t)
		},
	}
}

// softwareVersion is the version of this binary.
func softwareVersion() string { return buildVersion().Version }

// wireVersion is a version as brokers accept it in ApiVersions (KIP-511): letters, digits, dashes and dots, with neither of the
// last two at an end. A binary built from a changed tree has a plus in its version.
func wireVersion(version string) string {
	plain := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.':
			return r
		}
		return '-'
	}, version)
	return cmp.Or(strings.Trim(plain, "-."), "dev")
}

// buildVersion reads what the Go toolchain wrote into the binary.
func buildVersion() versionInfo {
	v := versionInfo{Version: "dev", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		v.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			v.Commit = setting.Value[:min(12, len(setting.Value))]
		case "vcs.time":
			v.Built = setting.Value
		case "vcs.modified":
			v.Modified = setting.Value == "true"
		}
	}
	return v
}
