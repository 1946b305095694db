package main

import (
	"github.com/spf13/cobra"
)

type shownSetting struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Source string `json:"source"`
}

func newProfileShowCommand(s *session) *cobra.Command {
	var secrets bool
	cmd := &cobra.Command{
		Use:   "show [NAME]",
		Short: "Show the settings in use and where each comes from",
		Example: `  millrace profile show
  millrace profile show production
  MILLRACE_BROKERS=other:9092 millrace profile show --format json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeFirst(s.completeProfiles),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				s.profileFlag = args[0]
			}
			cfg, err := s.resolve()
			if err != nil {
				return err
			}
			list := []shownSetting{}
			t := newTable("KEY", "VALUE", "SOURCE")
			for _, d := range settingKeys() {
				v, set := cfg.values[d.Key]
				if !set {
					continue
				}
				value := v.value
				if !secrets {
					value = redacted(d, value)
				}
				list = append(list, shownSetting{d.Key, value, v.source})
				t.row(d.Key, value, v.source)
			}
			return s.print(cmd, list, t)
		},
	}
	cmd.Flags().BoolVar(&secrets, "secrets", false, "show passwords")
	return cmd
}
