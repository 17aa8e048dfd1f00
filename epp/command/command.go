package command

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// Options of the command. All may be left out.
type Options struct {
	// Name is how the command is called, with the commands before it; by default the name of the program.
	Name string
	// Version and Commit are those of the program, for metrics and traces.
	Version, Commit string
}

// New makes the command. Plugins have to be registered before it runs.
func New(options Options) *cobra.Command {
	var flags pickerFlags
	name := cmp.Or(options.Name, filepath.Base(os.Args[0]))
	cmd := &cobra.Command{
		Use:   name[strings.LastIndexByte(name, ' ')+1:],
		Short: "Run the endpoint picker alone",
		Long: `Serves ext_proc over the Endpoint Picker Protocol and, to proxies that Switchyard configured, over its lean form.

On a cluster it follows one InferencePool, named by --pool-name and --pool-namespace, and of its namespace the Pods, the
InferenceObjectives and the InferenceModelRewrites; it needs to get, list and watch these kinds there, the last two where
their CRDs are installed. It tells the last two in their statuses what became of them, where it may patch those; with leader
election the leader does. With --endpoint-selector and --endpoint-target-ports it needs no pool: Pods alone, without objectives
and rewrites. The cluster is that of --kubeconfig, of the environment's KUBECONFIG, or the one whose pod this runs in.
There, readers of /metrics show a bearer token, which the cluster is asked about; --metrics-endpoint-auth=false ends that.

Without a cluster, a file can name the endpoints: declare file-discovery in the configuration and refer to it under
dataLayer.discovery. --pool-name is a name for metrics then, and /metrics asks for no token.

With -f it serves the InferencePools of a folder of manifests. Proxies then say which pool they mean; for those that do
not, name one with --pool-name unless there is only one.

With --proxy-xds-address it is a control plane, too, for proxies that send every request to the pool: they get everything over
xDS from a Gateway, a route and a pool that are made from the flags --proxy-*, without Gateway API and its CRDs. /debug/xds on the
port of /metrics shows what they have. With --proxy-xds-secret both sides show certificates, which this picker makes, or another
replica of it; it needs to get and update the two Secrets. Proxies have to mount the first.

Changes of --config-file take effect at once; a file that cannot be used leaves the one before in force.

Proxies that "serve --picker" sends here speak plain HTTP/2: give --secure-serving=false for those.`,
		Example: "  " + name + " --pool-name llama --pool-namespace models\n" +
			"  " + name + " -f manifests --secure-serving=false\n" +
			"  " + name + " --config-file file-discovery.yaml\n" +
			"  " + name + " --pool-name llama --proxy-xds-address :18000 --proxy-view models/llama --proxy-listen 0.0.0.0:8081 --proxy-picker-selector app=picker \\\n" +
			"      --proxy-xds-secret llama-xds --proxy-xds-server-name picker.models.svc\n" +
			"  " + name + " validate config.yaml",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := flags.config.load()
			if err != nil {
				return err
			}
			flags.pool.discovery = loaded.DiscoveryName
			if err := flags.validate(cmd.Flags()); err != nil {
				return err
			}
			return runPicker(cmd, &flags, loaded, options)
		},
	}
	cmd.Flags().StringVarP(&flags.manifests, "filename", "f", "", "folder or file of Kubernetes manifests")
	_ = cmd.MarkFlagFilename("filename", "yaml", "yml", "json")
	flags.register(cmd.Flags())
	cmd.MarkFlagsMutuallyExclusive("config-file", "config-text")
	cmd.MarkFlagsMutuallyExclusive("filename", "kubeconfig")
	cmd.AddCommand(newValidate(name), newSchema(name))
	return cmd
}
