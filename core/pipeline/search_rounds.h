// How many rounds a search has, and of what.
#ifndef NASHSWARM_CORE_PIPELINE_SEARCH_ROUNDS_H_
#define NASHSWARM_CORE_PIPELINE_SEARCH_ROUNDS_H_

#include <cstddef>

#include "core/pipeline/files/prepared.h"
#include "core/pipeline/spec.h"

namespace nashswarm::pipeline {

// How many rounds SEARCH has for this job at most; 0: none.
int SearchRounds(const Spec& spec, const Prepared& prepared);

// Of these the first so many at most are best response in context; the others are the flock's.
int ContextRounds(const Spec& spec, const Prepared& prepared);

// Plans the flock tries in a round; 0 when no flock was asked for.
size_t FlockSize(const Spec& spec);

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_SEARCH_ROUNDS_H_
