package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/diag"
)

func setupCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "setup",
		Short: "Prepare a source or a destination once",
	}
	c.AddCommand(setupElasticsearchCommand(), setupKafkaCommand(), setupEntraCommand())
	return c
}

func setupElasticsearchCommand() *cobra.Command {
	var o app.SetupOptions
	c := &cobra.Command{
		Use:   "elasticsearch FILE|DIR",
		Short: "Install the index template of the sinks to Elasticsearch and OpenSearch",
		Long: `Install or replace the index template of the sinks of kind elasticsearch: the mapping of every field and the retention.
It needs the cluster privilege manage_index_templates. Where the sink's own credentials have less, which is good, give others
for this one command, or print the template and install it by other means. For distribution = "opensearch" the retention is
a policy of Index State Management, which is installed and printed, too.`,
		Args: cobra.ExactArgs(1),
		RunE: setupSinks(&o, (*app.Plan).SetupElasticsearch),
	}
	setupFlags(c, &o, "print the template; needs no network and no secret")
	c.Flags().StringVar(&o.APIKeyFile, "api-key-file", "", "file with an API key to use instead of the sink's credentials")
	c.MarkFlagsMutuallyExclusive("api-key-file", "username")
	return c
}

func setupKafkaCommand() *cobra.Command {
	var o app.SetupOptions
	c := &cobra.Command{
		Use:   "kafka FILE|DIR",
		Short: "Make the topics of the sinks to Kafka",
		Long: `Make the topics of the sinks of kind kafka that are missing, with the partitions, replicas and settings of the block create. A topic that
is there is compared with the block and left as it is; where it differs, the command says how, and fails. It can be run again at any time. It needs Create on
the topics or the cluster, and DescribeConfigs on the topics. Where the sink's own user has less, which is good, give another one for this one
command (with OAUTHBEARER its client_id and client_secret), or print commands of Kafka's own tools. Event Hubs are made in the Azure portal.`,
		Args: cobra.ExactArgs(1),
		RunE: setupSinks(&o, (*app.Plan).SetupKafka),
	}
	setupFlags(c, &o, "print kafka-topics.sh commands that do the same; needs no network and no secret")
	return c
}

// setupSinks runs a set-up by the configuration that the argument names.
func setupSinks(o *app.SetupOptions, run func(*app.Plan, context.Context, app.SetupOptions) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		p, diags := app.Check(args[0])
		if err := diag.Text(c.ErrOrStderr(), diags, p.Files); err != nil {
			return err
		}
		if diags.HasErrors() {
			return exitError{exitUsage}
		}
		o.Out = c.OutOrStdout()
		return run(p, c.Context(), *o)
	}
}

func setupFlags(c *cobra.Command, o *app.SetupOptions, print string) {
	c.Flags().StringVar(&o.Sink, "sink", "", "name of one sink; without it, every sink of the kind")
	c.Flags().BoolVar(&o.Print, "print", false, print)
	c.Flags().StringVar(&o.Username, "username", "", "user to log in as instead of the sink's credentials")
	c.Flags().StringVar(&o.PasswordFile, "password-file", "", "file with the password of --username")
	c.MarkFlagsRequiredTogether("username", "password-file")
}

func setupEntraCommand() *cobra.Command {
	var name, output string
	c := &cobra.Command{
		Use:   "entra FILE|DIR",
		Short: "Print the permissions that the sources of kind entra need, and scripts that register the app with them",
		Long: `Print the application permissions that the sources which a configuration enables need, with why each is needed, or a script for the
az command line (-o az), or a Terraform file (-o terraform), that register the app with them and no more. Nothing is sent anywhere. Before there is a
registration, client_id may be 00000000-0000-0000-0000-000000000000.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p, diags := app.Check(args[0])
			if err := diag.Text(c.ErrOrStderr(), diags, p.Files); err != nil {
				return err
			}
			if diags.HasErrors() {
				return exitError{exitUsage}
			}
			setups, err := p.EntraSetups(name)
			if err != nil {
				return err
			}
			return app.WriteEntraSetup(c.OutOrStdout(), output, setups)
		},
	}
	c.Flags().StringVar(&name, "source", "", "name of one source block; without it, every one of the kind")
	c.Flags().StringVarP(&output, "output", "o", "text", "text, json, az or terraform")
	return c
}
