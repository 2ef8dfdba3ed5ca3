// Package decide has the controller's decisions as plain functions: which images a Fleet needs ([FromFleet]), which nodes
// a WarmSet applies to ([Nodes]), how far they are ([Status]), and what a node's labels and taints should be ([Node]). It
// talks to nobody and knows no time.
package decide
