package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func newProfileCommand(s *session) *cobra.Command {
	return noun("profile", "profiles", "Keep the settings of several clusters under names",
		`  millrace profile create staging --set brokers=kafka-1:9092 --set tls.enabled=true
  millrace profile use staging
  millrace topic list --profile production
  PS1='($(millrace profile current -q)) $ '`,
		newProfileCreateCommand(s), newProfileUseCommand(s), newProfileListCommand(s), newProfileEditCommand(s), newProfileShowCommand(s),
		newProfileValidateCommand(s), newProfileCurrentCommand(s), newProfileDeleteCommand(s), newProfileKeysCommand(s), newProfileImportCommand(s))
}

// configFile loads the file with the profiles.
func (s *session) configFile() (*configFile, error) {
	path, err := configPath(s.configFlag)
	if err != nil {
		return nil, err
	}
	return loadConfigFile(path)
}

// printPlain writes output of verbs that must work although the settings are broken: only the flag decides the format.
func (s *session) printPlain(cmd *cobra.Command, value any, tables ...*table) error {
	format := s.formatFlag
	if format == "" {
		format = "table"
	}
	if err := checkFormat(format); err != nil {
		return usagef("--format: %v", err)
	}
	return writeFormatted(cmd.OutOrStdout(), format, value, tables...)
}

func newProfileCreateCommand(s *session) *cobra.Command {
	var set []string
	var from string
	var force bool
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a profile and use it",
		Example: `  millrace profile create local
  millrace profile create prod --set brokers=kafka-1:9092,kafka-2:9092 --set tls.ca=ca.pem
  millrace profile create prod-admin --from prod --set sasl.username=admin --set 'sasl.password_command=pass kafka/admin'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := s.configFile()
			if err != nil {
				return err
			}
			name := args[0]
			if _, exists := file.Profiles[name]; exists && !force {
				return &failure{code: exitFailed, message: fmt.Sprintf("profile %s exists already in %s\nChange it: millrace profile edit    Replace it: --force", quote(name), file.path)}
			}
			profile := map[string]string{}
			if from != "" {
				source, err := file.profileNamed(from)
				if err != nil {
					return err
				}
				for k, v := range source {
					profile[k] = v
				}
			}
			if s.brokersFlag != "" {
				profile["brokers"] = s.brokersFlag
			}
			pairs, err := parsePairs("--set", append(set, s.overrides...))
			if err != nil {
				return err
			}
			for _, p := range pairs {
				profile[p[0]] = p[1]
			}
			for key, value := range profile {
				if err := checkSetting(key, value); err != nil {
					return usagef("%v", err)
				}
			}
			file.Profiles[name], file.Current = profile, name
			if err := file.save(); err != nil {
				return err
			}
			note(cmd, "created profile %s in %s, and use it from now on", name, file.path)
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&set, "set", nil, "setting as key=value, repeatable; 'millrace profile keys' lists the keys")
	cmd.Flags().StringVar(&from, "from", "", "start with the settings of this profile")
	cmd.Flags().BoolVar(&force, "force", false, "replace a profile of that name")
	must(cmd.RegisterFlagCompletionFunc("set", completeSettings))
	must(cmd.RegisterFlagCompletionFunc("from", s.completeProfiles))
	return cmd
}

func newProfileUseCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:               "use NAME",
		Short:             "Use a profile from now on",
		Example:           "  millrace profile use staging",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeFirst(s.completeProfiles),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := s.configFile()
			if err != nil {
				return err
			}
			if _, err := file.profileNamed(args[0]); err != nil {
				return err
			}
			file.Current = args[0]
			return file.save()
		},
	}
}

func newProfileDeleteCommand(s *session) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:               "delete NAME",
		Aliases:           []string{"rm"},
		Short:             "Delete a profile",
		Example:           "  millrace profile delete staging --yes",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeFirst(s.completeProfiles),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := s.configFile()
			if err != nil {
				return err
			}
			if _, err := file.profileNamed(args[0]); err != nil {
				return err
			}
			if err := confirm(cmd, yes, fmt.Sprintf("Delete profile %s?", args[0])); err != nil {
				return err
			}
			delete(file.Profiles, args[0])
			if file.Current == args[0] {
				file.Current = ""
			}
			return file.save()
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

type listedProfile struct {
	Name    string `json:"name"`
	Current bool   `json:"current"`
	Brokers string `json:"brokers"`
}

func newProfileListCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the profiles",
		Example: "  millrace profile list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, err := s.configFile()
			if err != nil {
				return err
			}
			list := []listedProfile{}
			t := newTable("PROFILE", "CURRENT", "BROKERS")
			for _, name := range file.names() {
				p := listedProfile{name, name == file.Current, file.Profiles[name]["brokers"]}
				list = append(list, p)
				t.row(p.Name, p.Current, dash(p.Brokers))
			}
			return s.printPlain(cmd, list, t)
		},
	}
}

type currentProfile struct {
	Name string `json:"name"`
}

func newProfileCurrentCommand(s *session) *cobra.Command {
	var quiet bool
	cmd := &cobra.Command{
		Use:   "current",
		Short: "Print the name of the profile in use",
		Example: `  millrace profile current
  PS1='($(millrace profile current -q)) $ '`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, err := s.configFile()
			if err == nil {
				var name string
				if name, err = s.profileName(file); err == nil && name != "" {
					if s.formatFlag == "" || s.formatFlag == "table" {
						fmt.Fprintln(cmd.OutOrStdout(), name) // alone, for prompts and scripts
						return nil
					}
					t := newTable("NAME")
					t.row(name)
					return s.printPlain(cmd, currentProfile{name}, t)
				}
			}
			if quiet { // in a prompt: never a message
				return nil
			}
			if err != nil {
				return err
			}
			return notFoundf("no profile is in use\nUse one: millrace profile use NAME    Create one: millrace profile create NAME")
		},
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing when there is none, and never an error")
	return cmd
}

type listedSetting struct {
	Key         string `json:"key"`
	Environment string `json:"environment"`
	Default     string `json:"default"`
	Help        string `json:"help"`
}

func newProfileKeysCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:     "keys",
		Short:   "List the settings that a profile, -X and the environment can have",
		Example: "  millrace profile keys",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := []listedSetting{}
			t := newTable("KEY", "ENVIRONMENT", "DEFAULT", "MEANING")
			for _, d := range settingKeys() {
				list = append(list, listedSetting{d.Key, d.environmentName(), d.Default, d.Help})
				t.row(d.Key, d.environmentName(), dash(d.Default), d.Help)
			}
			return s.printPlain(cmd, list, t)
		},
	}
}

// redacted hides a secret.
func redacted(d setting, value string) string {
	if d.Secret && value != "" {
		return strings.Repeat("*", 8)
	}
	return value
}
