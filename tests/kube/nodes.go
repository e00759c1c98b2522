package main

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// createNodes makes the Node objects that a kubelet would; kwok then keeps
// them Ready.
func (c *cluster) createNodes(ctx context.Context) error {
	for number := range c.nodes {
		if _, err := c.client.CoreV1().Nodes().Create(ctx, c.node(number), metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) node(number int) *corev1.Node {
	name := fmt.Sprintf("node-%d", number+1)
	size := corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("8"),
		corev1.ResourceMemory:           resource.MustParse("32Gi"),
		corev1.ResourceEphemeralStorage: resource.MustParse("100Gi"),
		corev1.ResourcePods:             resource.MustParse("110"),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: name,
			Labels: map[string]string{
				corev1.LabelHostname:           name,
				corev1.LabelOSStable:           "linux",
				corev1.LabelArchStable:         "amd64",
				corev1.LabelTopologyRegion:     c.region,
				corev1.LabelTopologyZone:       fmt.Sprintf("%s-%c", c.region, 'a'+rune(number%3)),
				corev1.LabelInstanceTypeStable: "nave.test",
			},
		},
		Status: corev1.NodeStatus{Allocatable: size, Capacity: size},
	}
}
