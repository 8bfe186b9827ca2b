// The one matrix product of encoding with feedback, and what must be known of its rounding. Internal to core/feedback.
#ifndef NASHSWARM_CORE_FEEDBACK_PRODUCT_H_
#define NASHSWARM_CORE_FEEDBACK_PRODUCT_H_

namespace nashswarm::feedback {

// into -= matrix^T from, in single precision: `matrix` has `from_columns` rows of `into_columns` numbers, `stride`
// apart; `from` and `into` hold as many columns of kPanelRows numbers. Every row of the panel is rounded alike,
// whatever the other rows hold, except for PanelMargin() rows at either end.
void SubtractProduct(const float* matrix, int stride, int from_columns, int into_columns, const float* from,
                     float* into);

// Found out once, by trial: OpenBLAS's Haswell kernels begin and end a product with other instructions than they use
// between. Rows within the margin stay empty, so that a row's bits do not depend on its place in the panel.
int PanelMargin();

}  // namespace nashswarm::feedback

#endif  // NASHSWARM_CORE_FEEDBACK_PRODUCT_H_
