"""The public names and the modules they come from; `__init__.py` imports them on first use."""

# isort: skip_file

from molrecon.data.axes import Axes as Axes
from molrecon.data.coil_compression import compress_coils as compress_coils
from molrecon.data.check import (
    DataCheck as DataCheck,
    Finding as Finding,
    check as check,
)
from molrecon.data.coil_maps import (
    combine_coils as combine_coils,
    estimate_coil_maps as estimate_coil_maps,
    estimate_shared_maps as estimate_shared_maps,
)
from molrecon.data.formats import (
    ImageData as ImageData,
    read_image as read_image,
    read_scan as read_scan,
    write_image as write_image,
    write_scan as write_scan,
)
from molrecon.data.formats.samples import (
    read_samples as read_samples,
    write_samples as write_samples,
)
from molrecon.data.geometry import Geometry as Geometry
from molrecon.data.masks import MaskKind as MaskKind, make_mask as make_mask
from molrecon.data.non_cartesian_scan import NonCartesianScan as NonCartesianScan
from molrecon.data.scan import Scan as Scan
from molrecon.data.simulation import (
    Acquisition as Acquisition,
    acquire as acquire,
    add_noise as add_noise,
    simulate_acquisition as simulate_acquisition,
    simulate_coil_maps as simulate_coil_maps,
    simulate_phase as simulate_phase,
)
from molrecon.data.stack import Stack as Stack, stack_of as stack_of
from molrecon.data.trajectories import (
    make_trajectory as make_trajectory,
    radial_trajectory as radial_trajectory,
    spiral_trajectory as spiral_trajectory,
)
from molrecon.data.whitening import whiten as whiten
from molrecon.equilibrium.forward_backward import ForwardBackward as ForwardBackward
from molrecon.equilibrium.implicit import Equilibrium as Equilibrium
from molrecon.equilibrium.inclusion import Inclusion as Inclusion, error_bound as error_bound
from molrecon.equilibrium.robustness import robustness_constant as robustness_constant
from molrecon.equilibrium.solution import Guarantee as Guarantee, Solution as Solution
from molrecon.equilibrium.wrong_operator import (
    operator_sensitivity as operator_sensitivity,
    wrong_operator_bound as wrong_operator_bound,
)
from molrecon.errors import (
    AmbiguousError as AmbiguousError,
    ConvergenceError as ConvergenceError,
    InputError as InputError,
    MolreconError as MolreconError,
    NoBoundError as NoBoundError,
)
from molrecon.evaluation.metrics import (
    Score as Score,
    nmse as nmse,
    psnr as psnr,
    ssim as ssim,
)
from molrecon.linear.conjugate_gradient import ConjugateGradient as ConjugateGradient
from molrecon.linear.regularised import solve_regularised as solve_regularised
from molrecon.linear.solution import LinearSolution as LinearSolution
from molrecon.linear.solver import LinearSolver as LinearSolver
from molrecon.linear.status import Status as Status
from molrecon.lipschitz import (
    LipschitzAttack as LipschitzAttack,
    LocalLipschitz as LocalLipschitz,
    certified_bound as certified_bound,
    lipschitz_attack as lipschitz_attack,
    local_lipschitz as local_lipschitz,
    proved_bound as proved_bound,
)
from molrecon.networks import (
    CNN as CNN,
    KernelNormalisedCNN as KernelNormalisedCNN,
    MultiscaleStrictCNN as MultiscaleStrictCNN,
    Network as Network,
    PlanesNetwork as PlanesNetwork,
    ResidualCNN as ResidualCNN,
    ResidualStrictCNN as ResidualStrictCNN,
    SeriesStrictCNN as SeriesStrictCNN,
    SpectralCNN as SpectralCNN,
    ThresholdGuide as ThresholdGuide,
    Tiled as Tiled,
    UNet as UNet,
    build_network as build_network,
)
from molrecon.operators.base import LinearOperator as LinearOperator
from molrecon.operators.blur import Blur as Blur
from molrecon.operators.cartesian_mri import CartesianMRI as CartesianMRI
from molrecon.operators.denoising import Denoising as Denoising
from molrecon.operators.dynamic_mri import DynamicMRI as DynamicMRI
from molrecon.operators.inpainting import Inpainting as Inpainting
from molrecon.operators.kernels import (
    bicubic_kernel as bicubic_kernel,
    box_kernel as box_kernel,
    gaussian_kernel as gaussian_kernel,
)
from molrecon.operators.multi_coil import MultiCoilMRI as MultiCoilMRI
from molrecon.operators.noise import (
    NoiseEstimate as NoiseEstimate,
    estimate_noise as estimate_noise,
    estimate_sigma as estimate_sigma,
)
from molrecon.operators.non_cartesian_mri import NonCartesianMRI as NonCartesianMRI
from molrecon.operators.partial_fourier import PartialFourierMRI as PartialFourierMRI
from molrecon.operators.soft_sense import SoftSense as SoftSense
from molrecon.operators.super_resolution import SuperResolution as SuperResolution
from molrecon.equilibrium.operator_model import check_operator as check_operator
from molrecon.operators.wrapped import wrap_operator as wrap_operator
from molrecon.pipeline import (
    Preparation as Preparation,
    Reconstruction as Reconstruction,
    reconstruct as reconstruct,
)
from molrecon.pipeline.memory import MemoryPlan as MemoryPlan
from molrecon.pipeline.preparation import Step as Step
from molrecon.reconstructors.admm_net import ADMMNet as ADMMNet
from molrecon.reconstructors.base import Held as Held, Reconstructor as Reconstructor
from molrecon.reconstructors.configuration import ModelConfig as ModelConfig
from molrecon.reconstructors.de_grad import DEGrad as DEGrad
from molrecon.reconstructors.for_physics import ForPhysics as ForPhysics
from molrecon.reconstructors.l1_wavelet import L1Wavelet as L1Wavelet
from molrecon.reconstructors.learned import (
    LearnedReconstructor as LearnedReconstructor,
    ScaledProblem as ScaledProblem,
)
from molrecon.reconstructors.methods import METHODS as METHODS, build_method as build_method
from molrecon.reconstructors.mnm_mol import MnMMOL as MnMMOL
from molrecon.reconstructors.modl import MoDL as MoDL
from molrecon.reconstructors.mol import MOL as MOL
from molrecon.reconstructors.post_processing import PostProcessing as PostProcessing
from molrecon.reconstructors.sense import SENSE as SENSE
from molrecon.reconstructors.store import (
    load as load,
    save as save,
    shipped_models as shipped_models,
)
from molrecon.reconstructors.tikhonov import Tikhonov as Tikhonov
from molrecon.reconstructors.total_variation import TotalVariation as TotalVariation
from molrecon.reconstructors.weights import DataWeight as DataWeight
from molrecon.reconstructors.zero_filled import ZeroFilled as ZeroFilled
from molrecon.reports.figure import figure as figure
from molrecon.reports.report import report as report
from molrecon.training.adaptation import Adaptation as Adaptation, adapt as adapt
from molrecon.trust.noise import NoiseMap as NoiseMap, noise_map as noise_map
from molrecon.trust.probe import LesionProbe as LesionProbe, probe_lesions as probe_lesions
from molrecon.trust.share import DataShare as DataShare, data_share as data_share

__version__: str
