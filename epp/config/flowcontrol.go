package config

import (
	"cmp"
	"fmt"
	"reflect"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp/flowcontrol"
	"github.com/switchyard/switchyard/epp/flowcontrol/eviction"
	"github.com/switchyard/switchyard/epp/flowcontrol/fairness"
	"github.com/switchyard/switchyard/epp/flowcontrol/ordering"
	"github.com/switchyard/switchyard/epp/flowcontrol/usagelimit"
	"github.com/switchyard/switchyard/epp/scheduling/filter"
)

// FlowControl is what the file says of flow control. It is immutable: several controllers may be made of it.
type FlowControl struct {
	options flowcontrol.Options
}

// New makes a controller. saturation reads how full a pool is (saturation.Reader makes it of Config.Detector); a nil registerer
// gets no metrics.
func (f *FlowControl) New(saturation func(pool string, ahead flowcontrol.Load) flowcontrol.Reading, registerer prometheus.Registerer) (*flowcontrol.Controller, error) {
	options := f.options
	options.Saturation, options.Registerer = saturation, registerer
	return flowcontrol.New(options)
}

// Configure has a controller that is at work go on by this configuration. What waits goes on waiting.
func (f *FlowControl) Configure(controller *flowcontrol.Controller, saturation func(pool string, ahead flowcontrol.Load) flowcontrol.Reading) error {
	options := f.options
	options.Saturation = saturation
	return controller.Configure(options)
}

// Policies in force where the file names none. Where it declares one by this name, that one is meant.
const (
	defaultDetector   = filter.UtilizationDetectorType
	defaultFairness   = fairness.GlobalStrictType
	defaultOrdering   = ordering.FCFSType
	defaultUsageLimit = usagelimit.StaticType
)

// readFlowControl reads the section. Without the feature gate only its saturation detector counts, by which requests below priority 0
// are refused then.
func (c *compiler) readFlowControl(doc *document) error {
	detector, err := c.chooseDetector(doc)
	if err != nil {
		return err
	}
	c.config.Detector = detector.built.(flowcontrol.Detector)
	spec := doc.FlowControl
	if !c.flowControl {
		if spec != nil && !reflect.DeepEqual(*spec, flowControlSpec{SaturationDetector: spec.SaturationDetector}) {
			c.warn("flowControl: has no effect but for saturationDetector: add flowControl to featureGates, or remove it")
		}
		return nil
	}
	if spec == nil {
		spec = &flowControlSpec{}
	}
	flow := &FlowControl{}
	flow.options.Detector = detector.typ
	for _, read := range []func(*flowControlSpec, *flowcontrol.Options) error{c.readLimits, c.readTemplates, c.readBands, c.readEviction} {
		if err := read(spec, &flow.options); err != nil {
			return fmt.Errorf("flowControl.%w", err)
		}
	}
	c.config.FlowControl = flow
	return nil
}

func (c *compiler) chooseDetector(doc *document) (*plugin, error) {
	ref, where := doc.SaturationDetector, "saturationDetector"
	if ref != nil {
		c.warn("saturationDetector: is an older field; use flowControl.saturationDetector")
	}
	if doc.FlowControl != nil && doc.FlowControl.SaturationDetector != nil {
		ref, where = doc.FlowControl.SaturationDetector, "flowControl.saturationDetector"
	}
	if ref == nil {
		ref, where = &reference{PluginRef: defaultDetector}, "flowControl.saturationDetector"
	}
	return c.orDefault(where, ref.PluginRef, defaultDetector, roleDetector)
}

// orDefault finds the plugin that is referred to. The default need not be declared, whether it is referred to or not.
func (c *compiler) orDefault(where, name, instead string, wanted role) (*plugin, error) {
	if c.plugins[name] != nil || name != instead {
		return c.resolve(where, name, wanted)
	}
	built, err := catalogue[name].build(nil)
	if err != nil {
		return nil, err
	}
	return &plugin{name: name, typ: name, role: wanted, built: built}, nil
}

// policy finds what a reference names, or the default.
func (c *compiler) policy(where, name, instead string, wanted role) (any, error) {
	found, err := c.orDefault(where, cmp.Or(name, instead), instead, wanted)
	if err != nil {
		return nil, err
	}
	return found.built, nil
}

func (c *compiler) readLimits(spec *flowControlSpec, o *flowcontrol.Options) error {
	requests, err := readQuantity("maxRequests", spec.MaxRequests)
	if err != nil {
		return err
	}
	o.MaxRequests = int(requests)
	if o.MaxBytes, err = readQuantity("maxBytes", spec.MaxBytes); err != nil {
		return err
	}
	if o.TTL, err = readDuration("defaultRequestTTL", spec.DefaultRequestTTL, flowcontrol.DefaultTTL); err != nil {
		return err
	}
	if o.NoEndpointTTL, err = readDuration("noEndpointRequestTTL", spec.NoEndpointRequestTTL, o.TTL); err != nil {
		return err
	}
	limit, err := c.policy("usageLimitPolicyPluginRef", spec.UsageLimitPolicyPluginRef, defaultUsageLimit, roleUsageLimit)
	if err != nil {
		return err
	}
	o.UsageLimit = limit.(flowcontrol.UsageLimit)
	return nil
}

// readTemplates reads the bands of priorities that have none of their own.
func (c *compiler) readTemplates(spec *flowControlSpec, o *flowcontrol.Options) error {
	template := spec.DefaultPriorityBand
	if template == nil {
		template = &bandSpec{}
	}
	var err error
	if o.Default, err = c.readTemplate("defaultPriorityBand", template); err != nil {
		return err
	}
	if spec.DefaultNegativePriorityBand != nil {
		negative, err := c.readTemplate("defaultNegativePriorityBand", spec.DefaultNegativePriorityBand)
		o.Negative = &negative
		return err
	}
	return nil
}

func (c *compiler) readTemplate(where string, spec *bandSpec) (flowcontrol.Band, error) {
	if spec.Priority != 0 {
		c.warn("flowControl.%s.priority: has no effect: the band is for all priorities that have none of their own", where)
	}
	return c.readBand(where, spec)
}

func (c *compiler) readBands(spec *flowControlSpec, o *flowcontrol.Options) error {
	o.Bands = make(map[int]flowcontrol.Band, len(spec.PriorityBands))
	for i := range spec.PriorityBands {
		where, given := fmt.Sprintf("priorityBands[%d]", i), &spec.PriorityBands[i]
		if _, taken := o.Bands[given.Priority]; taken {
			return fmt.Errorf("%s.priority: %d has a band already; give each priority one", where, given.Priority)
		}
		band, err := c.readBand(where, given)
		if err != nil {
			return err
		}
		o.Bands[given.Priority] = band
	}
	c.warnOfHiddenPrograms(o)
	return nil
}

func (c *compiler) readBand(where string, spec *bandSpec) (flowcontrol.Band, error) {
	var band flowcontrol.Band
	requests, err := readQuantity(where+".maxRequests", spec.MaxRequests)
	if err != nil {
		return band, err
	}
	band.MaxRequests = int(requests)
	if band.MaxBytes, err = readQuantity(where+".maxBytes", spec.MaxBytes); err != nil {
		return band, err
	}
	fair, err := c.policy(where+".fairnessPolicyRef", spec.FairnessPolicyRef, defaultFairness, roleFairness)
	if err != nil {
		return band, err
	}
	order, err := c.policy(where+".orderingPolicyRef", spec.OrderingPolicyRef, defaultOrdering, roleOrdering)
	if err != nil {
		return band, err
	}
	band.Fairness, band.Ordering = fair.(flowcontrol.Fairness), order.(flowcontrol.Ordering)
	return band, nil
}

// warnOfHiddenPrograms tells of program-aware policies that share no series, of which one only can be shown.
func (c *compiler) warnOfHiddenPrograms(o *flowcontrol.Options) {
	known := map[flowcontrol.Fairness]bool{}
	for _, policy := range o.Policies() {
		if _, ok := policy.(*fairness.ProgramAware); ok {
			known[policy] = true
		}
	}
	if len(known) > 1 {
		c.warn("flowControl: %d plugins of type %s are in use; metrics show the programs of one: refer to the same one where that matters",
			len(known), fairness.ProgramAwareType)
	}
}

// readEviction takes the filter and the ordering that are declared, one of each at most; nothing refers to them.
func (c *compiler) readEviction(spec *flowControlSpec, o *flowcontrol.Options) error {
	if !spec.EnableEviction {
		return nil
	}
	chosen, err := c.theOnly(eviction.SheddableType, roleEvictionFilter)
	if err != nil {
		return err
	}
	order, err := c.theOnly(eviction.PriorityThenTimeType, roleEvictionOrdering)
	if err != nil {
		return err
	}
	o.Eviction = &flowcontrol.Eviction{Filter: chosen.(flowcontrol.EvictionFilter), Ordering: order.(flowcontrol.EvictionOrdering),
		Lag: c.config.Detector.Lag()}
	return nil
}

func (c *compiler) theOnly(instead string, wanted role) (any, error) {
	var only *plugin
	for _, declared := range c.order {
		if declared.role != wanted {
			continue
		}
		if only != nil {
			return nil, fmt.Errorf("enableEviction: plugins %q and %q are both an %s; keep one", only.name, declared.name, wanted)
		}
		only = declared
	}
	if only == nil {
		return c.policy("enableEviction", "", instead, wanted)
	}
	return only.built, nil
}
